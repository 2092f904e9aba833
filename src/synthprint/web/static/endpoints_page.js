// The page of the endpoints: all of it is in the document already.

import { shell } from "./shell.js";

shell();
