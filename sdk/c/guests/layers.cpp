// layers: lines, each answered: `state` with the transport's bits, `who` with peer, host, ALPN and
// the sum of the certificate's bytes, `time` with the seconds since 1970, `random N` with N bytes.
// `over NAME` hands the connection over, with "who" as its first line. `connect ENDPOINT` and
// `as ENDPOINT` make a connection, of which "made", "failed" or "lost", with the reason, is told;
// `> LINE` sends a line there, and what comes back is passed on, but for `go NAME`: TLS begins there,
// with who has that name, and "secure" is told. What can't be done is answered with "refused". The
// state is the handle of the other connection, 4 bytes little-endian, 0 of none.
#include "../wirehost.hpp"

using namespace wirehost;

struct Side : LineReceiver {
	Transport other;

	// The other one; null: it has ended.
	Side *that() const { return static_cast<Side *>(other.protocol()); }

	void say(Bytes line) {
		if (Side *to = that())
			to->sendLine(line);
	}

	bool saveState(Buffer &out) override {
		wh_buf_add_u32(&out, static_cast<uint32_t>(other.handle()));
		return true;
	}

	bool restoreState(int32_t version, Bytes state) override {
		if (version != 1 || state.size() != 4)
			return false;
		other = Transport::restore(static_cast<int32_t>(wh_get_u32(state.p)));
		return true;
	}
};

static void addNumber(Buffer &to, uint64_t n) {
	char digits[20];
	to.add({digits, wh_decimal(digits, n)});
}

static void addText(Buffer &to, const char *text, int32_t n) {
	to.add({text, static_cast<size_t>(n > 0 ? n : 0)});
	to.add(" ");
}

struct Back : Side {
	void connectionMade() override { say("made"); }
	void handshakeCompleted() override { say("secure"); }
	void connectionLost(wh_reason why) override { ended("lost ", why); }
	void clientConnectionFailed(wh_reason why) override { ended("failed ", why); }

	void ended(Bytes how, wh_reason why) {
		char text[512];
		Buffer line(how);
		addNumber(line, why);
		line.add(" ");
		addText(line, text, transport.reasonText(text, sizeof text));
		say(line);
	}

	void lineReceived(Bytes line) override {
		if (line.size() < 3 || line.first(3) != "go ")
			return say(line);
		Buffer name(line.from(3));
		name.add({"", 1});
		if (transport.startTLSClient(reinterpret_cast<char *>(name.p)) != WH_OK)
			say("refused");
	}
};

struct Front : Side {
	void lineReceived(Bytes line) override {
		size_t n = 0;
		while (n < line.size() && line[n] != ' ')
			n++;
		Buffer rest(line.from(n < line.size() ? n + 1 : n));
		rest.add({"", 1});
		if (!does(line.first(n), reinterpret_cast<char *>(rest.p), rest.len - 1))
			sendLine("refused");
	}

	bool does(Bytes word, const char *rest, size_t n) {
		if (word == "state")
			return number(static_cast<uint64_t>(transport.state()));
		if (word == "time")
			return number(static_cast<uint64_t>(wh_time()));
		if (word == "who")
			return who();
		if (word == "random")
			return chance(rest);
		if (word == "over")
			return transport.handOver(rest, "who\r\n", 5) == WH_OK;
		if (word == "connect" || word == "as") {
			Back *b = new Back;
			b->other = transport;
			if ((word == "as" ? connectAs(transport, rest, 0, b) : connect(rest, 0, b)) < 0)
				return false;
			other = b->transport;
			return true;
		}
		Side *to = that();
		return word == ">" && to != nullptr && to->sendLine({rest, n}) == WH_OK;
	}

	bool number(uint64_t n) {
		Buffer line;
		addNumber(line, n);
		return sendLine(line) == WH_OK;
	}

	bool who() {
		char text[128];
		uint8_t certificate[2048];
		uint64_t sum = 0;
		Buffer line;
		addText(line, text, transport.getPeer(text, sizeof text));
		addText(line, text, transport.getHost(text, sizeof text));
		addText(line, text, transport.negotiatedProtocol(text, sizeof text));
		int32_t n = transport.getPeerCertificate(certificate, sizeof certificate);
		for (int32_t i = 0; i < n; i++)
			sum += certificate[i];
		addNumber(line, sum);
		return sendLine(line) == WH_OK;
	}

	bool chance(const char *digits) {
		size_t n = 0;
		for (; *digits != 0; digits++)
			n = 10 * n + static_cast<size_t>(*digits - '0');
		uint8_t *p = static_cast<uint8_t *>(wh_alloc(n));
		bool done = wh_random(p, n) == WH_OK;
		transport.write({p, n});
		wh_free(p);
		return done;
	}

	void connectionLost(wh_reason) override {
		other.loseConnection();
	}
};

struct LayersFactory : Factory {
	static constexpr const char *logPrefix = "layers";
	Protocol *buildProtocol(Transport) override { return new Front; }
	Protocol *buildClientProtocol(Transport) override { return new Back; }
};

WIREHOST_FACTORY(LayersFactory)
