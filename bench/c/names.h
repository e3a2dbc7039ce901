// A name server's own work, which a native program and a guest share: the address of each of
// h0.bench.test to h4095.bench.test, from a table.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAMES = 4096, SLOTS = 4 * NAMES, NAME = 24, HEADER = 12, ANSWER = 16, LONGEST = 512 };

typedef struct name {
	uint8_t text[NAME]; // as in a message
	uint8_t size;       // 0: free
	uint8_t ip[4];
} name;

static name table[SLOTS];

static uint32_t hash(const uint8_t *p, size_t n) { // FNV-1a
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h ^ h >> 15;
}

// The place of a name, or a free one.
static name *find(const uint8_t *p, size_t n) {
	for (uint32_t i = hash(p, n);; i++) {
		name *at = &table[i % SLOTS];
		if (at->size == 0 || (at->size == n && __builtin_memcmp(at->text, p, n) == 0))
			return at;
	}
}

static void fill_table(void) {
	for (uint32_t i = 0; i < NAMES; i++) {
		uint8_t text[NAME], digits[8];
		size_t n = 0, k = 0;
		for (uint32_t left = i; k == 0 || left > 0; left /= 10)
			digits[k++] = (uint8_t)('0' + left % 10);
		text[n++] = (uint8_t)(k + 1);
		text[n++] = 'h';
		while (k > 0)
			text[n++] = digits[--k];
		__builtin_memcpy(text + n, "\5bench\4test", 12);
		n += 12;
		name *at = find(text, n);
		__builtin_memcpy(at->text, text, n);
		at->size = (uint8_t)n;
		at->ip[0] = 10, at->ip[2] = (uint8_t)(i >> 8), at->ip[3] = (uint8_t)i;
	}
}

// Answers the question of n bytes at q, of type A and class IN, into LONGEST bytes at a; 0:
// it is none.
static size_t answer(const uint8_t *q, size_t n, uint8_t *a) {
	uint8_t key[NAME];
	size_t end = HEADER;
	if (n < HEADER || n > LONGEST - ANSWER || (q[2] & 0xf8) != 0 || q[4] != 0 || q[5] != 1)
		return 0;
	while (end < n && q[end] != 0)
		end += 1 + (size_t)q[end];
	size_t size = end + 1 - HEADER;
	if (end + 5 > n || q[end + 1] != 0 || q[end + 2] != 1 || q[end + 3] != 0 || q[end + 4] != 1)
		return 0;
	const name *found = NULL;
	if (size <= NAME) {
		for (size_t i = 0; i < size; i++) {
			uint8_t c = q[HEADER + i];
			key[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
		}
		found = find(key, size);
	}
	bool known = found != NULL && found->size != 0;
	end += 5;
	__builtin_memcpy(a, q, end);
	a[2] = 0x84 | (q[2] & 1), a[3] = known ? 0 : 3;
	a[6] = 0, a[7] = known, a[8] = a[9] = a[10] = a[11] = 0;
	if (!known)
		return end;
	__builtin_memcpy(a + end, "\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4", 12);
	__builtin_memcpy(a + end + 12, found->ip, 4);
	return end + ANSWER;
}
