"""What data looks like: row types, Arrow schemas, boxes, the FineHARD record, the manifest. No I/O, no models."""
