"""Any file in, 16 kHz mono out: how a file is laid out, decoded, brought to one channel, and kept."""
