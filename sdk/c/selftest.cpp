// Tests of wirehost.hpp, natively:
//
//	clang -o selftest selftest.cpp wirehost.c && ./selftest
#include "wirehost_test.h"

#include "wirehost.hpp"

using namespace wirehost;

static int failures, alive; // protocols

#define CHECK(what) ((what) ? (void)0 : (failures++, (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what)))

template <class Base> struct Counted : Base {
	Counted() { alive++; }
	~Counted() override { alive--; }
};

struct Lines : Counted<LineReceiver> {
	char told = 0;
	wh_reason why = WH_DONE;

	void connectionMade() override { setMaxLength(5); }
	void lineReceived(Bytes line) override {
		sendLine(line);
		if (line.size() == 3 && line[0] == 'r')
			setRawMode();
		if (line.size() == 4 && line[0] == 't')
			CHECK(transport.startTLS() == WH_OK);
		if (line.size() == 5 && line[0] == 't')
			transport.callLater(10, &told);
	}
	void rawDataReceived(Bytes data) override {
		transport.write("raw:");
		transport.write(data.first(1));
		setLineMode(data.from(1));
	}
	void delayedCall(void *arg) override {
		CHECK(arg == &told);
		transport.write("due");
	}
	bool saveState(Buffer &out) override {
		wh_framer_save(transport.conn(), &out);
		return true;
	}
	bool restoreState(int32_t version, Bytes state) override {
		return version == 1 && wh_framer_restore(transport.conn(), state.p, state.n) == (ptrdiff_t)state.n;
	}
};

struct Strings : Counted<Int8Receiver> {
	void stringReceived(Bytes s) override { sendString(s); }
	void clientConnectionFailed(wh_reason why) override { CHECK(why == WH_REFUSED); }
};

struct Plain : Counted<Protocol> {
	void dataReceived(Bytes data) override { transport.write(data); }
};

struct Socket : DatagramProtocol {
	bool refused = false;

	Socket() { alive++; }
	~Socket() override { alive--; }
	void datagramReceived(Bytes data, const Address &from) override {
		CHECK(from == from && !(from != from));
		CHECK(write(data, from) == WH_OK && dropped() == 0);
		if (data == "later")
			transport.callLater(5);
		if (data == "close")
			CHECK(flush() == WH_OK && transport.loseConnection() == WH_OK);
	}
	void delayedCall(void *) override { CHECK(write("due") == WH_OK); }
	void connectionRefused() override { CHECK(join("239.1.2.3") == 0 && leave("239.1.2.3") == 0 && setOption(1, 2) == 0); }
	void stopProtocol(wh_reason why) override { CHECK(why != WH_LOST); }
	bool saveState(Buffer &out) override { return out.add("s"), true; }
	bool restoreState(int32_t, Bytes state) override { return state == "s"; }
};

static int32_t number; // of connections

struct Builder : Factory {
	static constexpr int32_t stateVersion = 7;
	Protocol *buildProtocol(Transport t) override {
		char peer[64];
		CHECK(t.getPeer(peer, sizeof peer) > 0);
		switch (++number % 4) {
		case 0: return nullptr;
		case 1: return new Plain;
		case 2: return new Strings;
		default: return new Lines;
		}
	}
	DatagramProtocol *buildDatagramProtocol(Transport) { return number == 99 ? nullptr : new Socket; }
};

WIREHOST_FACTORY(Builder)
WIREHOST_DATAGRAM_FACTORY()

static void sockets() {
	Address from = {};
	from.port = 5000, from.family = 4;
	const char *const texts[] = {"a", "later", "close"};
	int before = alive;
	int32_t calls = wht.calls, s = wht_bind();
	CHECK(alive == before + 1);
	wht_receive(s, &from, texts, 2);
	CHECK(wht.sent_count == 2 && wht.calls == calls + 1 && wh_buf_is(&wht.sent[1].data, "later"));
	wht_advance(5);
	CHECK(wht.sent_count == 3 && wh_buf_is(&wht.sent[2].data, "due"));
	int32_t moved = wht_reload(s, 1);
	CHECK(moved > 0 && alive == before + 2);
	wht_receive(s, &from, texts + 2, 1);
	wht_lose(moved, WH_REPLACED);
	CHECK(alive == before && wh_find(s) == nullptr);
	CHECK(openDatagram("udp://192.0.2.9:123", new Socket) == WH_OK);
	wh_start_protocol(wht.conn_count);
	wh_connection_refused(wht.conn_count);
	wht_lose(wht.conn_count, WH_DONE);
	CHECK(alive == before);
}

struct PassiveFactory {
	Protocol *buildProtocol(Transport) { return new Strings; }
};

static void ports() {
	static PassiveFactory factory;
	Port port, other;
	int before = alive;
	char host[64] = {};
	CHECK(port.handle() == 0 && port.listen("tcp://127.0.0.1:0", &factory) == WH_OK && port.handle() > 0);
	CHECK(port.getHost(host, sizeof host) > 0 && other.listen(host, &factory) == WH_EBUSY && other.handle() == 0);
	int32_t at = port.handle(), c = wht_accept_at(at);
	wht_send_text(c, "\1a");
	CHECK(wht_wrote(c, "\1a") && alive == before + 1 && Transport(wh_find(c)).listener() == at);
	CHECK(port.stopListening() == WH_OK && port.handle() == 0 && wht_accept_at(at) == 0);
	CHECK(port.stopListening() == WH_ENOCONN);
	other.restore(at, &factory);
	CHECK(other.handle() == at && other.stopListening() == WH_ENOCONN && other.handle() == 0);
	wht_lose(c, WH_DONE);
	CHECK(alive == before);
}

extern "C" int32_t wh_export_state_version();

int main() {
	CHECK(Bytes("ab") == "ab" && Bytes("ab") != "abc" && Bytes() == "" && Bytes("a") != "b");
	CHECK(wht_start("") == 0 && wh_export_state_version() == 7);

	int32_t plain = wht_accept(), strings = wht_accept(), lines = wht_accept();
	CHECK(wht_accept() == 0 && alive == 3);
	wht_send_text(plain, "x");
	wht_send_text(strings, "\3ab");
	wht_send_text(strings, "c");
	CHECK(wht_wrote(plain, "x") && wht_wrote(strings, "\3abc"));
	Transport kept(wh_find(plain));
	wht_finish(plain); // readConnectionLost closes
	CHECK(alive == 2 && kept.conn() == nullptr && kept.write("late") == WH_ENOCONN && kept.disconnecting());

	wht_send_text(lines, "a\r\nraw\r\n1b\r\ntimer\r\nhal");
	wht_advance(10);
	CHECK(wht_wrote(lines, "a\r\nraw\r\nraw:1b\r\ntimer\r\ndue"));
	wht_send_text(lines, "f\r\ntls1\r\nEVIL\r\nhal"); // plain text behind what asks for TLS
	wht_at(lines)->output.len = 0;
	wht_send_text(lines, "hal");
	number = 2;
	int32_t moved = wht_reload(lines, 1);
	CHECK(moved > 0 && alive == 3);
	wht_send_text(moved, "f\r\n");
	CHECK(wht_wrote(moved, "half\r\n"));
	number = 2;
	CHECK(wht_reload(lines, 2) == 0 && alive == 3); // refused: deleted
	wht_send_text(lines, "1234567");
	CHECK(wht_at(lines)->ended && alive == 2); // too long a line

	CHECK(connect("tcp://192.0.2.3:25", 0, new Strings) == WH_OK && alive == 3);
	wh_export_client_connection_failed(wht.conn_count, WH_REFUSED);
	CHECK(alive == 2);
	sockets();
	ports();
	wht_reset();
	CHECK(alive == 0);
	printf("%d failures\n", failures);
	return failures > 0;
}
