"""What goes over the wire: two encodings, the messages, names and topics, compression."""
