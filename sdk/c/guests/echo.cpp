// echo: it writes back every byte.
#include "../wirehost.hpp"

using namespace wirehost;

struct Echo : Protocol {
	void dataReceived(Bytes data) override {
		transport.write(data); // what the server answers, connectionLost tells too
	}

	// It has no state of its own, so a reload moves it as it is.
	bool saveState(Buffer &) override { return true; }
	bool restoreState(int32_t, Bytes) override { return true; }
};

struct EchoFactory : Factory {
	static constexpr const char *logPrefix = "echo";
	Protocol *buildProtocol(Transport) override { return new Echo; }
};

WIREHOST_FACTORY(EchoFactory)
