// Uses the SDK and a C library together: their headers and their memory. It answers each
// line with what printf makes of it.
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wirehost.h"

enum { BLOCKS = 64, ROUNDS = 3000 };

typedef struct mine {
	unsigned char *p;
	size_t n;
	bool ours; // of wh_alloc
} mine;

static bool whole(const mine *m, unsigned char b) {
	for (size_t i = 0; i < m->n; i++)
		if (m->p[i] != b)
			return false;
	return true;
}

// Has blocks of both allocators side by side, each full of its own number, and looks
// whether one has written into another's.
static int start(void) {
	static mine all[BLOCKS];
	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		int i = rand() % BLOCKS;
		mine *m = &all[i];
		if (!whole(m, (unsigned char)(i + 1)))
			return wh_log(WH_ERROR, "one allocator's block is in another's"), -1;
		m->ours ? wh_free(m->p) : free(m->p);
		m->n = (size_t)(rand() % (round < BLOCKS ? 64 : 20000)), m->ours = rand() % 2 > 0;
		m->p = m->ours ? wh_alloc(m->n) : malloc(m->n);
		if (m->ours && !whole(m, 0))
			return wh_log(WH_ERROR, "wh_alloc gave other than zeroes"), -1;
		memset(m->p, i + 1, m->n);
	}
	return 0;
}

static void line(wh_conn *c, const uint8_t *p, size_t n) {
	struct iovec v = {.iov_base = malloc(n + 32)};
	v.iov_len = (size_t)snprintf(v.iov_base, n + 32, "%zu bytes: %.*s", n, (int)n, (const char *)p);
	wh_send_line(c, v.iov_base, v.iov_len);
	free(v.iov_base);
}

static const wh_protocol lines = {.data_received = wh_line_receiver, .line_received = line};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &lines;
}

const wh_factory wirehost_factory = {.start = start, .build_protocol = build};
