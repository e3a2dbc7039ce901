// linereceiver: it writes back every line followed by the delimiter. See
// plugins/linereceiver for its configuration and its state.
#include "../wirehost.h"

static struct {
	wh_buf delimiter;
	int64_t max_length;
	bool raw; // a line `raw N` is answered by the next N raw bytes
} config;

// Raw bytes still to come.
static uint64_t *raw_of(wh_conn *c) { return wh_conn_state(c); }

// Reads a line `raw N`, N in decimal digits.
static bool raw_count(const uint8_t *line, size_t n, uint64_t *count) {
	if (n < 5 || n > 4 + 18 || wh_find_bytes(line, 4, (const uint8_t *)"raw ", 4) == NULL)
		return false;
	*count = 0;
	for (size_t i = 4; i < n; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		*count = *count * 10 + (line[i] - '0');
	}
	return true;
}

static void line(wh_conn *c, const uint8_t *text, size_t n) {
	uint64_t count;
	if (!config.raw || !raw_count(text, n, &count)) {
		wh_send_line(c, text, n);
	} else if ((*raw_of(c) = count) > 0) {
		wh_set_raw_mode(c);
	}
}

static void raw(wh_conn *c, const uint8_t *p, size_t n) {
	uint64_t *left = raw_of(c);
	size_t mine = *left < n ? (size_t)*left : n;
	wh_write(c, p, mine);
	if ((*left -= mine) == 0)
		wh_set_line_mode(c, p + mine, n - mine);
}

static void configure(wh_conn *c) {
	wh_set_delimiter(c, config.delimiter.p, config.delimiter.len);
	wh_set_max_length(c, (uint32_t)config.max_length);
}

static bool save(wh_conn *c, wh_buf *out) {
	wh_framer_save(c, out);
	wh_buf_add_leb(out, *raw_of(c));
	return true;
}

static int restore(wh_conn *c, int32_t version, const uint8_t *p, size_t n) {
	ptrdiff_t used = version == 1 ? wh_framer_restore(c, p, n) : -1;
	if (used < 0 || wh_get_leb(p + used, n - (size_t)used, raw_of(c)) != n - (size_t)used || (size_t)used == n)
		return -1;
	configure(c);
	return wh_raw_mode(c) == (*raw_of(c) > 0) ? 0 : -1;
}

static const wh_protocol lines = {
	.state_size = sizeof(uint64_t),
	.connection_made = configure,
	.data_received = wh_line_receiver,
	.line_received = line,
	.raw_data_received = raw,
	.save_state = save,
	.restore_state = restore,
};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &lines;
}

static int start(void) {
	wh_buf_add(&config.delimiter, "\r\n", 2);
	config.max_length = WH_MAX_LINE;
	const wh_option options[] = {
		{"delimiter", WH_TEXT, &config.delimiter},
		{"max_length", WH_INT, &config.max_length},
		{"raw", WH_BOOL, &config.raw},
	};
	if (wh_config(options, sizeof options / sizeof *options) != 0)
		return -1;
	if (config.delimiter.len == 0 || config.max_length < 1 || config.max_length > 1 << 30) {
		wh_log(WH_ERROR, "config: wanted a delimiter of one byte or more, and a max_length of 1 to 1073741824");
		return -1;
	}
	return 0;
}

const wh_factory wirehost_factory = {.log_prefix = "linereceiver", .start = start, .build_protocol = build};
