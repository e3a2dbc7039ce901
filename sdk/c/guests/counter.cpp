// counter: it answers each line with how many there were. Its state is the count,
// 4 bytes little-endian, and then the half line that is received: the same in every
// language, so that a reload may go from one to another.
#include "../wirehost.hpp"

using namespace wirehost;

struct Counter : LineReceiver {
	uint32_t count = 0;

	void lineReceived(Bytes) override {
		char digits[20];
		size_t n = wh_decimal(digits, ++count);
		sendLine({digits, n});
	}

	bool saveState(Buffer &out) override {
		Bytes half;
		half.p = wh_held(transport.conn(), &half.n);
		wh_buf_add_u32(&out, count);
		out.add(half);
		return true;
	}

	bool restoreState(int32_t version, Bytes state) override {
		if (version != 1 || state.size() < 4)
			return false;
		count = wh_get_u32(state.p);
		wh_restore_held(transport.conn(), state.p + 4, state.n - 4);
		return true;
	}
};

struct CounterFactory : Factory {
	static constexpr const char *logPrefix = "counter";
	Protocol *buildProtocol(Transport) override { return new Counter; }
};

WIREHOST_FACTORY(CounterFactory)
