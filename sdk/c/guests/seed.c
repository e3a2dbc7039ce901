// seed: it sends the seed of its instance and 16 random bytes, and closes.
#include "../wirehost.h"

static uint8_t own[32];

void wh_instance_made(const uint8_t *seed, size_t n) {
	for (size_t i = 0; i < n; i++)
		own[i] = seed[i];
}

static void made(wh_conn *c) {
	wh_write(c, own, sizeof own);
	static uint8_t drawn[70000];
	if (wh_random(drawn, sizeof drawn) != WH_OK || wh_time() < 1.7e9)
		__builtin_trap();
	wh_write(c, drawn + sizeof drawn - 16, 16);
	wh_lose_connection(c);
}

static const wh_protocol protocol = {.connection_made = made};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &protocol;
}

const wh_factory wirehost_factory = {.build_protocol = build};
