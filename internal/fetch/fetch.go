// Package fetch gets modules from web servers (https://HOST/PATH) and from OCI
// registries (oci://HOST/NAME:TAG, or @sha256:DIGEST), and keeps them in a folder by
// their digest. What a server sends is bounded in size and in time; nothing goes or
// comes unencrypted, but to a registry on a loopback address.
package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// DefaultTime is how long a fetch may take in all, however steadily it comes.
	DefaultTime = 2 * time.Minute
	// maxSmall bounds manifests and signatures, in bytes.
	maxSmall = 4 << 20
	// maxRedirects is how often a server may point elsewhere.
	maxRedirects = 5
	ociPrefix    = "oci://"
)

// Options are a Fetcher's. The zero value is safe: nothing is kept.
type Options struct {
	Dir   string         // where modules are kept; "" = nowhere
	Size  int64          // of all that is kept, in bytes: what was used least recently leaves; 0 = no bound
	Time  time.Duration  // of one fetch; 0 = DefaultTime
	Roots *x509.CertPool // that servers are verified by; nil = the system's
}

// Fetcher gets modules. Any goroutine.
type Fetcher struct {
	o      Options
	store  *store // nil = nothing is kept
	client *http.Client
}

// New makes a Fetcher; it does no I/O.
func New(o Options) *Fetcher {
	if o.Time <= 0 {
		o.Time = DefaultTime
	}
	f := &Fetcher{o: o, client: newClient(o.Roots, "")}
	if o.Dir != "" {
		f.store = &store{dir: o.Dir, size: o.Size}
	}
	return f
}

// Request is what is wanted.
type Request struct {
	Source string // https://… or oci://…
	SHA256 string // of the module, in hex, where it is known: what is kept under it is what is wanted
	Limit  int64  // of the module, in bytes
	Signed bool   // its signature is wanted too
	Always bool   // ask whether there is another one, unless the source names a digest
	Never  bool   // take what is kept, or fail
}

// Module is what has come.
type Module struct {
	Source    string // with the digest of the manifest that an oci:// tag stands for
	SHA256    string // in hex
	Signature []byte // of minisign's form; nil = there is none
	file      string
	bytes     []byte // where there is no file
}

// Open reads the module, whose bytes are SHA256's unless somebody has changed the file.
func (m *Module) Open() (io.ReadCloser, error) {
	if m.file == "" {
		return io.NopCloser(bytes.NewReader(m.bytes)), nil
	}
	return os.Open(m.file)
}

// Get gives the module that q asks for: what is kept, where that will do, or what its
// server has. On an error what is kept stays as it was. ctx ends it.
func (f *Fetcher) Get(ctx context.Context, q Request) (*Module, error) {
	rec, kept := f.store.find(q)
	fixed := q.SHA256 != "" || strings.Contains(q.Source, "@sha256:")
	will := kept && (!q.Signed || rec.Signature != "")
	switch {
	case will && (fixed || !q.Always || q.Never):
		return f.store.module(rec), nil
	case q.Never && kept:
		return nil, errors.New("found it in the cache without a signature, and pull: never")
	case q.Never:
		return nil, errors.New("found nothing of it in the cache, and pull: never")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.Time,
		fmt.Errorf("given up: found it unfinished after %v, wanted all of it", f.o.Time))
	defer cancel()
	if !kept {
		rec = record{}
	}
	m, err := f.fetch(ctx, q, rec)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return m, err
}

// fetch asks the server. rec is what is kept of the source, or empty.
func (f *Fetcher) fetch(ctx context.Context, q Request, rec record) (*Module, error) {
	var now record
	var b *body
	var err error
	if strings.HasPrefix(q.Source, ociPrefix) {
		now, b, err = f.pull(ctx, q, rec)
	} else {
		now, b, err = f.download(ctx, q, rec)
	}
	if err != nil {
		return nil, err
	}
	if b == nil { // what is kept is what is there
		return f.store.module(now), f.store.note(q.Source, now)
	}
	defer b.drop()
	now.SHA256 = b.sum
	if q.SHA256 != "" && !strings.EqualFold(q.SHA256, b.sum) {
		return nil, fmt.Errorf("found sha256 %s, wanted %s", b.sum, q.SHA256)
	}
	if f.store == nil {
		return &Module{Source: now.Source, SHA256: b.sum, Signature: now.signature(), bytes: b.buf.Bytes()}, nil
	}
	if err := f.store.keep(q.Source, now, b); err != nil {
		return nil, err
	}
	return f.store.module(now), nil
}

// body is a module that has come: in memory, or in a file of the store's that has no
// name of its own yet.
type body struct {
	buf  bytes.Buffer
	file *os.File // nil = it is in buf
	sum  string   // SHA-256 in hex
}

// take reads a module of at most limit bytes. What ctx ends is not whole, though it may look
// so: a server that is told of it over TLS can end its answer before the connection is closed.
func (f *Fetcher) take(ctx context.Context, r io.Reader, limit int64) (b *body, err error) {
	b = &body{}
	var to io.Writer = &b.buf
	if f.store != nil {
		if b.file, err = f.store.create(); err != nil {
			return nil, err
		}
		to = b.file
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, h), io.LimitReader(r, limit+1))
	switch {
	case err == nil && n > limit:
		err = tooLong(limit)
	case err == nil:
		err = context.Cause(ctx)
	}
	if err != nil {
		b.drop()
		return nil, err
	}
	b.sum = hex.EncodeToString(h.Sum(nil))
	return b, nil
}

// drop forgets a body's file, unless it was kept.
func (b *body) drop() {
	if b.file != nil {
		_ = b.file.Close()           // it is nobody's
		_ = os.Remove(b.file.Name()) // it has another name where it was kept
	}
}

func tooLong(limit int64) error {
	return fmt.Errorf("found more than %d bytes, wanted at most that (limits.module)", limit)
}
