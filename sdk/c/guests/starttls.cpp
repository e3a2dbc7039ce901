// starttls: it writes back every line, and begins TLS after "tls", after the raw bytes
// "tls" that follow "raw", and a moment after "pause".
#include "../wirehost.hpp"

using namespace wirehost;

static bool is(Bytes line, Bytes word) {
	return line.size() == word.size() && __builtin_memcmp(line.p, word.p, word.n) == 0;
}

struct Lines : LineReceiver {
	void start() {
		sendLine("go");
		transport.startTLS();
	}

	void lineReceived(Bytes line) override {
		if (is(line, "tls")) {
			start();
		} else if (is(line, "raw")) {
			setRawMode();
		} else if (is(line, "pause")) {
			transport.pauseProducing();
			transport.callLater(1);
		} else {
			sendLine(line);
		}
	}

	void rawDataReceived(Bytes data) override {
		start();
		setLineMode(data.from(3));
	}

	void delayedCall(void *) override { start(); }

	void handshakeCompleted() override {
		sendLine("up");
		transport.resumeProducing();
	}
};

struct LinesFactory : Factory {
	Protocol *buildProtocol(Transport) override { return new Lines; }
};

WIREHOST_FACTORY(LinesFactory)
