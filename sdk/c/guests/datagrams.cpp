// datagrams: it writes back every datagram, but for "count", which it answers with how
// many there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
// what comes of it. "join GROUP" and "leave GROUP", and "mhops N", "loop N", "broadcast N" and
// "hops N", which set an option, are answered with "yes" where that was done and with "no"; "shout
// PORT" sends itself to 239.1.2.3 and then to 255.255.255.255. Its state is the count, 4 bytes
// little-endian.
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
			other(data, from);
		}
	}

	void other(Bytes data, const Address &from) {
		size_t n = 0;
		while (n < data.size() && data[n] != ' ')
			n++;
		Buffer rest(data.from(n < data.size() ? n + 1 : n));
		rest.add({"", 1});
		int32_t status = does(data.first(n), reinterpret_cast<char *>(rest.p));
		if (data.first(n) == "shout")
			shout(data, reinterpret_cast<char *>(rest.p));
		else if (status > 0)
			write(data, from);
		else
			write(status == WH_OK ? Bytes("yes") : Bytes("no"), from);
	}

	// A status; 1 of no word that it knows.
	int32_t does(Bytes word, const char *rest) {
		if (word == "join")
			return join(rest);
		if (word == "leave")
			return leave(rest);
		if (word == "mhops")
			return setOption(WH_MULTICAST_HOPS, number(rest));
		if (word == "loop")
			return setOption(WH_MULTICAST_LOOP, number(rest));
		if (word == "broadcast")
			return setOption(WH_BROADCAST, number(rest));
		return word == "hops" ? setOption(WH_HOPS, number(rest)) : 1;
	}

	void shout(Bytes data, const char *port) {
		Address to = {};
		to.family = 4, to.port = static_cast<uint16_t>(number(port));
		to.ip[0] = 239, to.ip[1] = 1, to.ip[2] = 2, to.ip[3] = 3;
		write(data, to);
		memset(to.ip, 255, 4);
		write(data, to);
	}

	static int32_t number(const char *digits) {
		int32_t n = 0;
		for (; *digits != 0; digits++)
			n = 10 * n + (*digits - '0');
		return n;
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
