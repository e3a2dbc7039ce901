// A C guest for the benchmarks of package meter.
typedef unsigned char u8;
typedef unsigned int u32;
#define EXPORT(name) __attribute__((export_name(#name))) 

static u8 buffer_[65536];
static u8 digest[32];

EXPORT(buffer) u32 buffer(void) { return (u32)buffer_; }

// nothing is the cheapest callback there is.
EXPORT(nothing) void nothing(void) {}

EXPORT(tight) u32 tight(u32 n) {
	u32 x = 1;
	for (u32 i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
	}
	return x;
}

EXPORT(fib) u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

// lines counts lines of the form "key: value" with a key longer than 2.
EXPORT(lines) u32 lines(u32 len) {
	u32 count = 0, start = 0;
	int colon = -1;
	for (u32 i = 0; i < len; i++) {
		u8 c = buffer_[i];
		if (c == ':' && colon < 0) {
			colon = (int)i;
		} else if (c == '\n') {
			if (colon >= 0 && (u32)colon - start > 2) count++;
			start = i + 1;
			colon = -1;
		}
	}
	return count;
}

static const u32 K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define ROT(x, n) ((x) >> (n) | (x) << (32 - (n)))

static void block(u32 *h, const u8 *p) {
	u32 w[64], s[8];
	for (int i = 0; i < 16; i++) w[i] = (u32)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		u32 a = ROT(w[i - 15], 7) ^ ROT(w[i - 15], 18) ^ w[i - 15] >> 3;
		u32 b = ROT(w[i - 2], 17) ^ ROT(w[i - 2], 19) ^ w[i - 2] >> 10;
		w[i] = w[i - 16] + a + w[i - 7] + b;
	}
	for (int i = 0; i < 8; i++) s[i] = h[i];
	for (int i = 0; i < 64; i++) {
		u32 a = ROT(s[4], 6) ^ ROT(s[4], 11) ^ ROT(s[4], 25);
		u32 t = s[7] + a + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
		u32 b = ROT(s[0], 2) ^ ROT(s[0], 13) ^ ROT(s[0], 22);
		u32 u = b + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t;
		s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t + u;
	}
	for (int i = 0; i < 8; i++) h[i] += s[i];
}

// sum hashes len bytes of the buffer, a multiple of 64, below 65,000; it gives
// the first two bytes of the digest.
EXPORT(sum) u32 sum(u32 len) {
	u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	u8 tail[64] = {0x80};
	for (u32 i = 0; i < len; i += 64) block(h, buffer_ + i);
	for (int i = 0; i < 4; i++) tail[60 + i] = (u8)(len * 8 >> (24 - 8 * i));
	block(h, tail);
	for (int i = 0; i < 32; i++) digest[i] = (u8)(h[i / 4] >> (24 - 8 * (i % 4)));
	return digest[0] | digest[1] << 8;
}
