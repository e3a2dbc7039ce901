// everything calls all that the SDK has, so that a test holds it against the ABI.
// It is not meant to run.
#include "../wirehost.hpp"

using namespace wirehost;

template <class Base> struct Strings : Base {
	void stringReceived(Bytes s) override {
		this->setMaxLength(5);
		this->sendString(s);
	}
};

void wh_instance_made(const uint8_t *seed, size_t n) { wh_log_bytes(WH_INFO, seed, n); }

static void later(wh_conn *, void *) {}

struct Datagrams : DatagramProtocol {
	void datagramReceived(Bytes data, const Address &from) override {
		write(data, from);
		flush();
		join("239.1.2.3");
		leave("239.1.2.3");
		setOption(WH_MULTICAST_HOPS, static_cast<int32_t>(dropped()));
	}
};

struct Lines : LineReceiver {
	void connectionMade() override {
		char text[64];
		transport.write("x");
		transport.flush();
		transport.loseWriteConnection();
		transport.pauseProducing();
		transport.resumeProducing();
		transport.registerProducer(true);
		transport.unregisterProducer();
		transport.setTimeout(transport.state());
		transport.getPeer(text, sizeof text);
		transport.getHost(text, sizeof text);
		transport.reasonText(text, sizeof text);
		transport.setTcpNoDelay(true);
		transport.setTcpKeepAlive(true);
		transport.startTLS();
		transport.startTLSClient("localhost");
		wh_stop_listening(wh_listen("tcp://127.0.0.1:0", nullptr, nullptr) + transport.listener());
		transport.handOver("other", text, sizeof text);
		transport.getPeerCertificate(reinterpret_cast<uint8_t *>(text), sizeof text);
		transport.negotiatedProtocol(text, sizeof text);
		wh_reset(transport.callLater(1), 2);
		wh_cancel(transport.restoreCall(1));
		wh_call_later(nullptr, 1, later, nullptr);
		if (wh_seconds() > 1)
			connect("tcp://127.0.0.1:1", 1, new Strings<NetstringReceiver>);
		openDatagram("udp://127.0.0.1:1", new Datagrams);
		if (wh_seconds() > 1)
			connectAs(transport, "plugin://next", 1, new Strings<NetstringReceiver>);
		wh_log(WH_INFO, "everything");
		wh_random(text, wh_time() > 1);
		wh_record(wh_metric(WH_COUNTER, "everything_total"), 1);
		wh_asset_read(wh_asset_find("a"), wh_asset_size(0), NULL, 0);
		wh_config(nullptr, 0);
		if (!transport.disconnecting())
			transport.abortConnection();
	}

	void lineReceived(Bytes line) override {
		setDelimiter("\n");
		setRawMode();
		setLineMode();
		clearLineBuffer();
		sendLine(line);
	}
};

// A global with a constructor, which _initialize runs.
struct Runs {
	int32_t at;
	Runs() : at(static_cast<int32_t>(wh_seconds())) {}
};
static const Runs runs;

struct Everything : Factory {
	Protocol *buildProtocol(Transport t) override {
		switch ((t.handle() + runs.at) % 4) {
		case 0: return new Strings<Int8Receiver>;
		case 1: return new Strings<Int16Receiver>;
		case 2: return new Strings<Int32Receiver>;
		default: return new Lines;
		}
	}
	Protocol *buildClientProtocol(Transport) override { return new Strings<NetstringReceiver>; }
	DatagramProtocol *buildDatagramProtocol(Transport) { return new Datagrams; }
};

WIREHOST_FACTORY(Everything)
WIREHOST_DATAGRAM_FACTORY()
