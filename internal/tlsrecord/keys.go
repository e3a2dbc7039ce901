package tlsrecord

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// A suite is what a cipher suite of TLS 1.3 stands for, RFC 8446, appendix B.4.
type suite struct {
	id     uint16
	block  int // bytes of the hash's block
	secret int // bytes of a traffic secret: those of the hash
	key    int // bytes
	aead   func(key []byte) (cipher.AEAD, error)
}

const (
	maxSecret = sha512.Size384
	maxKey    = chacha20poly1305.KeySize
	ivSize    = 12 // RFC 8446, 5.3: the AEAD's N_MAX, at least 8; 12 of all three
	tagSize   = 16
)

var suites = [...]suite{
	{tls.TLS_AES_128_GCM_SHA256, sha256.BlockSize, sha256.Size, 16, newGCM},
	{tls.TLS_AES_256_GCM_SHA384, sha512.BlockSize, sha512.Size384, 32, newGCM},
	{tls.TLS_CHACHA20_POLY1305_SHA256, sha256.BlockSize, sha256.Size, 32, chacha20poly1305.New},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func suiteOf(id uint16) (*suite, error) {
	for i := range suites {
		if suites[i].id == id {
			return &suites[i], nil
		}
	}
	return nil, fmt.Errorf("tlsrecord: cipher suite %#04x is none of TLS 1.3 that has a record layer here", id)
}

// expandLabel fills to by HKDF-Expand-Label of a secret, with an empty context: RFC 8446, 7.1.
// to is no longer than the hash, for which HKDF-Expand is a single HMAC (RFC 5869, 2.3), and
// a secret is shorter than the hash's block, with which HMAC is two hashes (RFC 2104, 2).
func (s *suite) expandLabel(secret []byte, label string, to []byte) {
	const inner, outer = 0x36, 0x5c
	var space [sha512.BlockSize + maxSecret]byte // a block, and what is hashed behind it
	var sum [maxSecret]byte
	key := space[:s.block]
	copy(key, secret)
	for i := range key {
		key[i] ^= inner
	}
	info := binary.BigEndian.AppendUint16(key, uint16(len(to)))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "...)
	info = append(info, label...)
	s.hash(&sum, append(info, 0, 1))
	for i := range key {
		key[i] ^= inner ^ outer
	}
	s.hash(&sum, append(key, sum[:s.secret]...))
	copy(to, sum[:])
	clear(space[:])
	clear(sum[:])
}

// hash is not a function's value in suite: what is given to one is allocated.
func (s *suite) hash(sum *[maxSecret]byte, b []byte) {
	if s.secret == sha256.Size {
		*(*[sha256.Size]byte)(sum[:]) = sha256.Sum256(b)
	} else {
		*sum = sha512.Sum384(b)
	}
}

// A half is what protects one direction: the traffic secret, what is derived
// from it, and the number of the next record under it.
type half struct {
	suite  *suite
	aead   cipher.AEAD // nil = it rests
	seq    uint64
	secret [maxSecret]byte // as many of them as the suite's hash has
	key    [maxKey]byte    // the same, for the cipher
	iv     [ivSize]byte
	nonce  [ivSize]byte // of the record at hand: here, because what is given to an AEAD escapes
	closed bool         // close_notify has passed: nothing follows
}

// use takes a traffic secret and derives key and iv, RFC 8446, 7.3. What the
// AEAD keeps of its key is its own: it goes when the AEAD does.
func (h *half) use(secret []byte, seq uint64) error {
	h.suite.expandLabel(secret, "key", h.key[:h.suite.key])
	h.suite.expandLabel(secret, "iv", h.iv[:])
	copy(h.secret[:], secret)
	h.seq = seq
	return h.wake()
}

// wake makes the cipher again.
func (h *half) wake() (err error) {
	h.aead, err = h.suite.aead(h.key[:h.suite.key])
	return err
}

// update goes on to the next generation of the secret, RFC 8446, 7.2.
func (h *half) update() error {
	var next [maxSecret]byte
	defer clear(next[:])
	h.suite.expandLabel(h.secret[:h.suite.secret], "traffic upd", next[:h.suite.secret])
	return h.use(next[:h.suite.secret], 0)
}

// next is the nonce of the next record, RFC 8446, 5.3: the iv with the
// record's number upon its last eight bytes. A key is given up long before
// its numbers are used up, ours by [recordLimit]; a peer needs 2^64 records.
func (h *half) next() []byte {
	h.nonce = h.iv
	low := h.nonce[ivSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^h.seq)
	return h.nonce[:]
}

func (h *half) wipe() {
	clear(h.secret[:])
	clear(h.key[:])
	clear(h.iv[:])
	clear(h.nonce[:])
	h.aead, h.closed = nil, true
}
