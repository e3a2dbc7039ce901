"""Twisted's echo, on the reactor that it chooses itself (epoll on Linux)."""
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol


class Echo(Protocol):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data):
        self.transport.write(data)


port = reactor.listenTCP(0, Factory.forProtocol(Echo), backlog=4096, interface="127.0.0.1")
print("listening 127.0.0.1:%d" % port.getHost().port, flush=True)
reactor.run()
