"""The network side of a Ringcast server: one port for HTTP and WebSockets, on uvicorn, picows and uvloop.

    serve.py      the server's life: listening sockets, signals, shutdown
    head.py       uvicorn's HTTP protocol, with limits on what comes before a request's body
    http.py       the routes that are no WebSocket
    bridge.py     from uvicorn's upgrade request to picows' parser; keeps picows from writing to the socket
    handshake.py  which upgrade requests are accepted: pure
    websocket.py  what RFC 6455 asks for beyond parsing frames
    deadlines.py  the open sockets, and how long each may take to connect and to close

Actors, sessions and messages are the router's; outgoing bytes are the core's.
"""
