// counter: it answers each line with how many there were. Its state is the count,
// 4 bytes little-endian, and then the half line that is received: the same in every
// language, so that a reload may go from one to another.
#include "../wirehost.h"

static uint32_t *count_of(wh_conn *c) { return wh_conn_state(c); }

static void line(wh_conn *c, const uint8_t *text, size_t n) {
	(void)text, (void)n;
	char digits[20];
	size_t length = wh_decimal(digits, ++*count_of(c));
	wh_send_line(c, digits, length);
}

static bool save(wh_conn *c, wh_buf *out) {
	size_t n;
	const uint8_t *half = wh_held(c, &n);
	wh_buf_add_u32(out, *count_of(c));
	wh_buf_add(out, half, n);
	return true;
}

static int restore(wh_conn *c, int32_t version, const uint8_t *p, size_t n) {
	if (version != 1 || n < 4)
		return -1;
	*count_of(c) = wh_get_u32(p);
	wh_restore_held(c, p + 4, n - 4);
	return 0;
}

static const wh_protocol counter = {
	.state_size = sizeof(uint32_t),
	.data_received = wh_line_receiver,
	.line_received = line,
	.save_state = save,
	.restore_state = restore,
};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &counter;
}

const wh_factory wirehost_factory = {.log_prefix = "counter", .build_protocol = build};
