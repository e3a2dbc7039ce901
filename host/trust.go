package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"aead.dev/minisign"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/bounded"
)

const (
	// signatureSuffix makes the name of a module's signature of its own name.
	signatureSuffix = ".minisig"
	maxSignature    = 64 << 10 // bytes
)

// trustedKeys are the keys that modules are to be signed by; none = they need not be.
func trustedKeys(t config.Trust) ([]minisign.PublicKey, error) {
	keys := make([]minisign.PublicKey, len(t.Keys))
	for n, text := range t.Keys {
		if err := keys[n].UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("trust.keys.%d: %w", n, err)
		}
	}
	return keys, nil
}

// check adds a module's bytes up, and holds them against a signature where one is
// wanted. The zero value wants none.
type check struct {
	keys   []minisign.PublicKey // that are trusted, and have the signature's ID
	text   []byte               // the signature
	hashed bool                 // it is one of the module's BLAKE2b sum
}

// newCheck reads a signature; nil = there is none.
func newCheck(keys []minisign.PublicKey, text []byte) (check, error) {
	if len(keys) == 0 {
		return check{}, nil
	}
	const wanted = ", wanted one by a key of trust.keys"
	if text == nil {
		return check{}, errors.New("found no signature" + wanted)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(text); err != nil {
		return check{}, errors.New("found a signature that can't be read" + wanted)
	}
	c := check{text: text, hashed: s.Algorithm == minisign.HashEdDSA}
	for _, k := range keys {
		if k.ID() == s.KeyID {
			c.keys = append(c.keys, k)
		}
	}
	if len(c.keys) == 0 {
		return check{}, fmt.Errorf("found a signature by the key %X%s", s.KeyID, wanted)
	}
	return c, nil
}

// digest is what is known of a module's bytes.
type digest struct {
	sum    [sha256.Size]byte
	size   int64
	signer *minisign.PublicKey // whose signature fits; nil = none was wanted
	// the signature; nil = none was wanted
	signature []byte
}

// sumUp reads a module. The sum and the signature are of the same bytes, and the
// compiler takes no others than those of that sum.
func (c check) sumUp(r io.Reader) (d digest, err error) {
	h := sha256.New()
	fits := func(minisign.PublicKey) bool { return false }
	switch {
	case c.text == nil:
	case c.hashed:
		m := minisign.NewReader(r)
		r = m
		fits = func(k minisign.PublicKey) bool { return m.Verify(k, c.text) }
	default: // of the module itself, which has to be there in one piece
		b, err := io.ReadAll(r)
		if err != nil {
			return d, err
		}
		r = bytes.NewReader(b)
		fits = func(k minisign.PublicKey) bool { return minisign.Verify(k, b, c.text) }
	}
	if d.size, err = io.Copy(h, r); err != nil {
		return d, err
	}
	h.Sum(d.sum[:0])
	if c.text == nil {
		return d, nil
	}
	at := slices.IndexFunc(c.keys, fits)
	if at < 0 {
		return d, errors.New("found a signature of something else, wanted one of the module and of its trusted comment")
	}
	d.signer, d.signature = &c.keys[at], c.text
	return d, nil
}

// signatureBeside reads the signature that lies beside a file; nil = there is none.
func (s *sources) signatureBeside(ctx context.Context, path string) ([]byte, error) {
	text, err := s.files.Read(ctx, path+signatureSuffix, maxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%s: %w, wanted a signature", path+signatureSuffix, err)
	}
	return text, err
}

// trusted says why a version that is loaded may not run under other keys than it was
// loaded with, or nil.
func (m *module) trusted(t config.Trust) error {
	keys, err := trustedKeys(t)
	if err != nil || len(keys) == 0 || m.carried {
		return err
	}
	if m.signer != nil && slices.ContainsFunc(keys, func(k minisign.PublicKey) bool { return k.Equal(*m.signer) }) {
		return nil
	}
	return errors.New("found no signature that was checked when it was loaded, wanted one by a key of trust.keys")
}
