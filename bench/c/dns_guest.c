// names.h in a guest.
#include "wirehost.h"

#include "names.h"

static void received(wh_conn *s, const uint8_t *p, size_t n, const wh_address *from) {
	uint8_t a[LONGEST];
	size_t k = answer(p, n, a);
	if (k > 0)
		wh_write_datagram(s, a, k, from);
}

static const wh_datagram_protocol server = {.datagram_received = received};

static const wh_datagram_protocol *build_socket(wh_conn *s) {
	(void)s;
	return &server;
}

WIREHOST_DATAGRAMS(build_socket)

static int start(void) {
	fill_table();
	return 0;
}

const wh_factory wirehost_factory = {.log_prefix = "dns", .start = start};
