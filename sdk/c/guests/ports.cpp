// ports: lines. `listen ENDPOINT` opens a port, and is answered with where it is, or "refused";
// `stop` closes it, and any other line is answered with "main". Who comes to a port, and each of
// his lines, gets "passive". The factory's state is the port's handle, 4 bytes little-endian, 0 of
// none; those of connections are empty.
#include "../wirehost.hpp"

using namespace wirehost;

struct Passive : LineReceiver {
	void connectionMade() override { sendLine("passive"); }
	void lineReceived(Bytes) override { sendLine("passive"); }
	bool saveState(Buffer &) override { return true; }
	bool restoreState(int32_t, Bytes state) override { return state.empty(); }
};

struct PassiveFactory {
	Protocol *buildProtocol(Transport) { return new Passive; }
};

static PassiveFactory passive;
static Port port;

struct Control : LineReceiver {
	void lineReceived(Bytes line) override {
		if (line.size() > 7 && line.first(7) == "listen ") {
			char host[128];
			Buffer endpoint(line.from(7));
			endpoint.add({"", 1});
			if (port.listen(reinterpret_cast<char *>(endpoint.p), &passive) < 0)
				sendLine("refused");
			else
				sendLine({host, static_cast<size_t>(port.getHost(host, sizeof host))});
		} else if (line == "stop") {
			sendLine(port.stopListening() == WH_OK ? Bytes("stopped") : Bytes("refused"));
		} else {
			sendLine("main");
		}
	}

	bool saveState(Buffer &) override { return true; }
	bool restoreState(int32_t, Bytes state) override { return state.empty(); }
};

struct PortsFactory : Factory {
	static constexpr const char *logPrefix = "ports";
	Protocol *buildProtocol(Transport) override { return new Control; }

	bool saveState(Buffer &out) override {
		wh_buf_add_u32(&out, static_cast<uint32_t>(port.handle()));
		return true;
	}

	bool restoreState(int32_t version, Bytes state) override {
		if (version != 1 || state.size() != 4)
			return false;
		if (uint32_t handle = wh_get_u32(state.p))
			port.restore(static_cast<int32_t>(handle), &passive);
		return true;
	}
};

WIREHOST_FACTORY(PortsFactory)
