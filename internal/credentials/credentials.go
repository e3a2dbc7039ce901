// Package credentials has what endpoints are known by: certificates with their keys,
// certificates of authorities, tokens. They are read from files, again when those have
// changed, and what is taken over holds from the next handshake on: nothing is bound
// anew, and sessions can be resumed across a renewal.
//
// No error quotes what stands in a file.
package credentials

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/bounded"
)

// Pair are the PEM files of a certificate, with what signed it, and of its key.
type Pair struct{ Cert, Key string }

// Options are what a Store is given. All but Logger must be set.
type Options struct {
	Files  *bounded.Reader
	Wall   func() time.Time // any goroutine calls it
	Logger hclog.Logger     // nil = none
}

// Store has each file's content once, however many endpoints have it. Its methods may
// be called from any goroutine; one that takes a context waits for files.
type Store struct {
	o Options

	mu      sync.Mutex // never held while a file is read
	reads   uint64     // begun ever
	pairs   map[Pair]*certificate
	pools   map[string]*Pool
	servers map[string]*server // by Settings.key
}

// New makes a Store of nothing.
func New(o Options) *Store {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Store{o: o, pairs: map[Pair]*certificate{}, pools: map[string]*Pool{}, servers: map[string]*server{}}
}

// Settings are an endpoint's server side of TLS.
type Settings struct {
	Pairs      []Pair // the first is for clients that ask for no name, or for one that none has
	ClientCA   string // clients must have a certificate of it; "" = they need none
	Optional   bool   // of ClientCA: who has no certificate gets in as well
	ALPN       []string
	MinVersion uint16
}

func (s Settings) key() string {
	return fmt.Sprintf("%q %q %v %q %d", s.Pairs, s.ClientCA, s.Optional, s.ALPN, s.MinVersion)
}

// Server gives an endpoint's configuration, the same for the same settings. Files that
// were read before and can't be now leave what they gave. Others are an error; where
// lenient is set they are not, but handshakes that need them fail until they can be read.
func (s *Store) Server(ctx context.Context, to Settings, lenient bool) (*tls.Config, error) {
	var errs []error
	for _, p := range to.Pairs {
		errs = append(errs, s.loadPair(ctx, p, lenient))
	}
	if to.ClientCA != "" {
		_, err := s.loadPool(ctx, to.ClientCA, lenient)
		if err != nil {
			err = fmt.Errorf("client_ca: %w", err)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.servers[to.key()]
	if v == nil {
		v = &server{settings: to}
		for _, p := range to.Pairs {
			v.certificates = append(v.certificates, s.pairs[p])
		}
		v.clients = s.pools[to.ClientCA]
		v.build()
		s.servers[to.key()] = v
	}
	return v.outer, nil
}

// loadPair reads a pair, which may be new. An error is one of a new one, unless lenient is set.
func (s *Store) loadPair(ctx context.Context, p Pair, lenient bool) error {
	s.mu.Lock()
	c := s.pairs[p]
	s.mu.Unlock()
	isNew := c == nil
	if isNew {
		c = &certificate{pair: p}
	}
	err := s.read(ctx, c)
	switch {
	case err != nil && ctx.Err() != nil, err != nil && isNew && !lenient:
		return err
	case err != nil && c.cert.Load() == nil:
		s.o.Logger.Error("a certificate can't be loaded; handshakes that need it fail until it can", "err", err)
	case err != nil:
		s.o.Logger.Warn("a certificate can't be loaded; the one that was there stays", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pairs[p] == nil {
		s.pairs[p] = c
	}
	return nil
}

// Pool gives the certificates of the authorities in a file. One that was not read before
// and can't be is an error.
func (s *Store) Pool(ctx context.Context, path string) (*Pool, error) {
	return s.loadPool(ctx, path, false)
}

func (s *Store) loadPool(ctx context.Context, path string, lenient bool) (*Pool, error) {
	s.mu.Lock()
	p := s.pools[path]
	s.mu.Unlock()
	isNew := p == nil
	if isNew {
		p = &Pool{path: path}
	}
	err := s.readPool(ctx, p)
	switch {
	case err != nil && ctx.Err() != nil, err != nil && isNew && !lenient:
		return nil, err
	case err != nil && p.roots.Load() == nil:
		s.o.Logger.Error("authorities can't be loaded; handshakes that need them fail until they can", "err", err)
	case err != nil:
		s.o.Logger.Warn("authorities can't be loaded; those that were there stay", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pools[path] == nil {
		s.pools[path] = p
	}
	return s.pools[path], nil
}

// Reload reads a file again, and the one that belongs to it, and takes over what has
// changed and is whole. The error joins what can't be: there, what was taken over before
// stays. Of a certificate and a key that are being renewed one after the other it says
// that they do not match. A file that is nobody's is none.
func (s *Store) Reload(ctx context.Context, file string) error {
	var pairs []*certificate
	var pools []*Pool
	s.mu.Lock()
	for p, c := range s.pairs {
		if p.Cert == file || p.Key == file {
			pairs = append(pairs, c)
		}
	}
	if p := s.pools[file]; p != nil {
		pools = append(pools, p)
	}
	s.mu.Unlock()
	slices.SortFunc(pairs, func(a, b *certificate) int { return strings.Compare(a.pair.Cert, b.pair.Cert) })
	var errs []error
	for _, c := range pairs {
		errs = append(errs, s.read(ctx, c))
	}
	for _, p := range pools {
		errs = append(errs, s.readPool(ctx, p))
	}
	return errors.Join(errs...)
}

// Keep forgets what settings and pools do not name.
func (s *Store) Keep(settings []Settings, pools []string) {
	pairs, files, servers := map[Pair]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range pools {
		files[p] = true
	}
	for _, to := range settings {
		servers[to.key()] = true
		files[to.ClientCA] = true
		for _, p := range to.Pairs {
			pairs[p] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	forget(s.pairs, pairs)
	forget(s.pools, files)
	forget(s.servers, servers)
}

func forget[K comparable, V any](from map[K]V, but map[K]bool) {
	for key := range from {
		if !but[key] {
			delete(from, key)
		}
	}
}

// Files are all that Reload reads, with the SHA-256 of what was taken over, in hex; ""
// where nothing was.
func (s *Store) Files() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string]string{}
	for p, c := range s.pairs {
		files[p.Cert], files[p.Key] = c.sums[0], c.sums[1]
	}
	for path, p := range s.pools {
		files[path] = p.sum
	}
	return files
}

// Info is a certificate that endpoints have.
type Info struct {
	Pair
	Names               []string // that it is for; its common name where it has no other
	NotBefore, NotAfter time.Time
	Loaded              bool   // what is above is known
	Err                 string // why what the files have now was not taken over; "" = it was
}

// Infos tell of every certificate, by its files' names.
func (s *Store) Infos() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Info
	for p, c := range s.pairs {
		in := Info{Pair: p}
		if leaf := c.leaf(); leaf != nil {
			in.Loaded, in.NotBefore, in.NotAfter, in.Names = true, leaf.NotBefore, leaf.NotAfter, names(leaf)
			if name := leaf.Subject.CommonName; len(in.Names) == 0 && name != "" {
				in.Names = []string{name} // for people: no client takes it
			}
		}
		if c.err != nil {
			in.Err = c.err.Error()
		}
		list = append(list, in)
	}
	slices.SortFunc(list, func(a, b Info) int {
		return strings.Compare(a.Cert+"\x00"+a.Key, b.Cert+"\x00"+b.Key)
	})
	return list
}

// Refused says why what files have now was not taken over, in the order of their names.
func (s *Store) Refused() (errs []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.pairs {
		if c.err != nil {
			errs = append(errs, c.err)
		}
	}
	for _, p := range s.pools {
		if p.err != nil {
			errs = append(errs, p.err)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// Failing says why files have given nothing so far, by the certificates' and authorities' names.
func (s *Store) Failing() map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := map[string]error{}
	for p, c := range s.pairs {
		if c.cert.Load() == nil {
			why[p.Cert] = c.err
		}
	}
	for path, p := range s.pools {
		if p.roots.Load() == nil {
			why[path] = p.err
		}
	}
	return why
}

// file reads one, and adds it up.
func (s *Store) file(ctx context.Context, path string) (text []byte, sum string, err error) {
	text, err = s.o.Files.Read(ctx, path, bounded.MaxText)
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%s: %w, wanted at most that", path, err)
	}
	digest := sha256.Sum256(text)
	return text, hex.EncodeToString(digest[:]), err
}

// begin counts a read of files: what one that began later has taken over stays.
func (s *Store) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.reads
}
