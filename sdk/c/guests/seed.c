// seed: it sends the seed of its instance, and closes.
#include "../wirehost.h"

static uint8_t own[32];

void wh_instance_made(const uint8_t *seed, size_t n) {
	for (size_t i = 0; i < n; i++)
		own[i] = seed[i];
}

static void made(wh_conn *c) {
	wh_write(c, own, sizeof own);
	wh_lose_connection(c);
}

static const wh_protocol protocol = {.connection_made = made};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &protocol;
}

const wh_factory wirehost_factory = {.build_protocol = build};
