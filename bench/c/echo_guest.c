// Sends each datagram back.
#include "wirehost.h"

static void received(wh_conn *s, const uint8_t *p, size_t n, const wh_address *from) {
	wh_write_datagram(s, p, n, from);
}

static const wh_datagram_protocol echo = {.datagram_received = received};

static const wh_datagram_protocol *build_socket(wh_conn *s) {
	(void)s;
	return &echo;
}

WIREHOST_DATAGRAMS(build_socket)

const wh_factory wirehost_factory = {.log_prefix = "echo"};
