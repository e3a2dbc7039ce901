"""Twisted's LineReceiver, which answers each line with itself."""
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver


class Lines(LineReceiver):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def lineReceived(self, line):
        self.sendLine(line)


port = reactor.listenTCP(0, Factory.forProtocol(Lines), backlog=4096, interface="127.0.0.1")
print("listening 127.0.0.1:%d" % port.getHost().port, flush=True)
reactor.run()
