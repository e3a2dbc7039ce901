// datagrams: it writes back every datagram, but for "count", which it answers with how many
// there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
// what comes of it. Its state is the count, 4 bytes little-endian.
#include "../wirehost.hpp"

using namespace wirehost;

struct Server;

struct Client : DatagramProtocol {
	Transport server;
	Address asker;

	Client(Transport server, const Address &asker) : server(server), asker(asker) {}

	void tell(Bytes b) {
		if (wh_conn *s = server.conn())
			wh_write_datagram(s, b.p, b.n, &asker);
		transport.loseConnection();
	}

	void startProtocol() override { write("hello"); }
	void datagramReceived(Bytes data, const Address &) override { tell(data); }
	void connectionRefused() override { tell("refused"); }
};

struct Server : DatagramProtocol {
	uint32_t count = 0;

	void datagramReceived(Bytes data, const Address &from) override {
		count++;
		if (data.size() > 4 && data.first(4) == "ask ") {
			Buffer endpoint(data.from(4));
			endpoint.add({"", 1});
			if (openDatagram(reinterpret_cast<char *>(endpoint.p), new Client(transport, from)) < 0)
				write("not allowed", from);
		} else if (data == "count") {
			char digits[20];
			size_t n = wh_decimal(digits, count);
			write({digits, n}, from);
		} else {
			write(data, from);
		}
	}

	bool saveState(Buffer &out) override {
		wh_buf_add_u32(&out, count);
		return true;
	}

	bool restoreState(int32_t version, Bytes state) override {
		if (version != 1 || state.size() != 4)
			return false;
		count = wh_get_u32(state.p);
		return true;
	}
};

struct DatagramsFactory : Factory {
	static constexpr const char *logPrefix = "datagrams";
	Protocol *buildProtocol(Transport) override { return nullptr; }
	DatagramProtocol *buildDatagramProtocol(Transport) { return new Server; }
};

WIREHOST_FACTORY(DatagramsFactory)
WIREHOST_DATAGRAM_FACTORY()
