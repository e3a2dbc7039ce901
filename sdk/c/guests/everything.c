// everything calls all that the SDK has, so that a test holds it against the ABI.
// It is not meant to run.
#include "../wirehost.h"

static const wh_protocol protocol;

void wh_instance_made(const uint8_t *seed, size_t n) { wh_log_bytes(WH_INFO, seed, n); }

static void later(wh_conn *c, void *arg) { (void)c, (void)arg; }

static void received(wh_conn *s, const uint8_t *p, size_t n, const wh_address *from) {
	wh_write_datagram(s, p, n, from);
	wh_flush_datagrams(s);
	wh_join(s, "239.1.2.3");
	wh_leave(s, "239.1.2.3");
	wh_set_option(s, WH_MULTICAST_HOPS, (int32_t)wh_dropped(s));
}

static const wh_datagram_protocol datagrams = {.datagram_received = received};
static const wh_datagram_protocol *build_socket(wh_conn *s) { return wh_handle(s) > 0 ? &datagrams : NULL; }

WIREHOST_DATAGRAMS(build_socket)

static void made(wh_conn *c) {
	char text[64];
	wh_write_text(c, "x");
	wh_flush(c);
	wh_lose_write_connection(c);
	wh_pause_producing(c);
	wh_resume_producing(c);
	wh_register_producer(c, true);
	wh_unregister_producer(c);
	wh_state(c);
	wh_set_timeout(c, 1);
	wh_get_peer(c, text, sizeof text);
	wh_get_host(c, text, sizeof text);
	wh_reason_text(c, text, sizeof text);
	wh_set_tcp_no_delay(c, true);
	wh_set_tcp_keep_alive(c, true);
	wh_start_tls(c);
	wh_start_tls_client(c, "localhost");
	int32_t port = wh_listen("tcp://127.0.0.1:0", NULL, NULL);
	wh_port_host(port, text, sizeof text);
	wh_stop_listening(port + wh_listener(c));
	wh_hand_over(c, "other", text, sizeof text);
	wh_get_peer_certificate(c, (uint8_t *)text, sizeof text);
	wh_negotiated_protocol(c, text, sizeof text);
	wh_reset(wh_call_later(c, 1, later, NULL), 2);
	wh_cancel(wh_restore_call(1, c, later, NULL));
	if (wh_seconds() > 1)
		wh_connect("tcp://127.0.0.1:1", 1, &protocol, NULL);
	wh_open_datagram("udp://127.0.0.1:1", &datagrams, NULL);
	if (wh_seconds() > 1)
		wh_connect_as(c, "plugin://next", 1, &protocol, NULL);
	wh_send_netstring(c, text, 1);
	wh_send_int8(c, text, 1);
	wh_send_int16(c, text, 1);
	wh_send_int32(c, text, 1);
	wh_set_raw_mode(c);
	wh_set_line_mode(c, NULL, 0);
	wh_clear_line_buffer(c);
	wh_log(WH_INFO, "everything");
	wh_random(text, wh_time() > 1);
	wh_record(wh_metric(WH_COUNTER, "everything_total"), 1);
	wh_asset_read(wh_asset_find("a"), wh_asset_size(0), NULL, 0);
	wh_config(NULL, 0);
	wh_abort_connection(c);
}

static const wh_protocol protocol = {.connection_made = made, .data_received = wh_line_receiver};

static const wh_protocol *build(wh_conn *c) {
	return wh_handle(c) > 0 ? &protocol : NULL;
}

const wh_factory wirehost_factory = {.build_protocol = build, .build_client_protocol = build};
