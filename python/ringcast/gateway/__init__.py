"""The gateway side: sockets' links, the sessions that outlive them, and the limits of both."""
