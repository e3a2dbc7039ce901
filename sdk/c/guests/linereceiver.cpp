// linereceiver: it writes back every line followed by the delimiter. See
// plugins/linereceiver for its configuration and its state.
#include "../wirehost.hpp"

using namespace wirehost;

static struct {
	Buffer delimiter{"\r\n"};
	int64_t maxLength = WH_MAX_LINE;
	bool raw = false; // a line `raw N` is answered by the next N raw bytes
} config;

// Reads a line `raw N`, N in decimal digits.
static bool rawCount(Bytes line, uint64_t *count) {
	if (line.size() < 5 || line.size() > 4 + 18 || wh_find_bytes(line.p, 4, Bytes("raw ").p, 4) == nullptr)
		return false;
	*count = 0;
	for (uint8_t b : line.from(4)) {
		if (b < '0' || b > '9')
			return false;
		*count = *count * 10 + (b - '0');
	}
	return true;
}

struct Lines : LineReceiver {
	uint64_t left = 0; // raw bytes still to come

	void configure() {
		setDelimiter(config.delimiter);
		setMaxLength(static_cast<uint32_t>(config.maxLength));
	}

	void connectionMade() override { configure(); }

	void lineReceived(Bytes line) override {
		uint64_t count;
		if (!config.raw || !rawCount(line, &count))
			sendLine(line);
		else if ((left = count) > 0)
			setRawMode();
	}

	void rawDataReceived(Bytes data) override {
		size_t mine = left < data.size() ? static_cast<size_t>(left) : data.size();
		transport.write(data.first(mine));
		if ((left -= mine) == 0)
			setLineMode(data.from(mine));
	}

	bool saveState(Buffer &out) override {
		wh_framer_save(transport.conn(), &out);
		wh_buf_add_leb(&out, left);
		return true;
	}

	bool restoreState(int32_t version, Bytes state) override {
		ptrdiff_t used = version == 1 ? wh_framer_restore(transport.conn(), state.p, state.n) : -1;
		if (used < 0)
			return false;
		Bytes rest = state.from(static_cast<size_t>(used));
		configure();
		return !rest.empty() && wh_get_leb(rest.p, rest.n, &left) == rest.n && rawMode() == (left > 0);
	}
};

struct LinesFactory : Factory {
	static constexpr const char *logPrefix = "linereceiver";

	bool start() override {
		const wh_option options[] = {
			{"delimiter", WH_TEXT, &config.delimiter},
			{"max_length", WH_INT, &config.maxLength},
			{"raw", WH_BOOL, &config.raw},
		};
		if (wh_config(options, sizeof options / sizeof *options) != 0)
			return false;
		if (config.delimiter.len > 0 && config.maxLength >= 1 && config.maxLength <= 1 << 30)
			return true;
		wh_log(WH_ERROR, "config: wanted a delimiter of one byte or more, and a max_length of 1 to 1073741824");
		return false;
	}

	Protocol *buildProtocol(Transport) override { return new Lines; }
};

WIREHOST_FACTORY(LinesFactory)
