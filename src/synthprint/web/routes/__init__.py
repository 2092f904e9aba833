"""The routes, a file a resource; `application` includes the `router` of each."""
