package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"aead.dev/minisign"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/fetch"
)

// signer has keys, and the text of the public one.
type signer struct {
	private minisign.PrivateKey
	public  string
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{private, public.String()}
}

// prehashed signs as minisign does today; legacy as it did, and as others do.
func (s *signer) prehashed(b []byte) []byte {
	r := minisign.NewReader(bytes.NewReader(b))
	_, _ = io.Copy(io.Discard, r) // of bytes there is no error
	return r.Sign(s.private)
}

func (s *signer) legacy(b []byte) []byte { return minisign.Sign(s.private, b) }

func (s *signer) trust() config.Trust { return config.Trust{Keys: []string{s.public}} }

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func save(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSigned: with trust.keys a module runs where one of them has signed it and the
// signature's trusted comment, in either of minisign's ways; any other is refused.
func TestSigned(t *testing.T) {
	ours, theirs := newSigner(t), newSigner(t)
	b := read(t, "testdata/echo.wasm")
	comment := func(text []byte) []byte { return bytes.Replace(text, []byte("timestamp:"), []byte("timestamp;"), 1) }
	for name, c := range map[string]struct {
		signature []byte // nil = none
		want      string // "" = it runs
	}{
		"prehashed":           {ours.prehashed(b), ""},
		"legacy":              {ours.legacy(b), ""},
		"none":                {nil, "found no signature"},
		"another's":           {theirs.prehashed(b), "found a signature by the key"},
		"of another":          {ours.prehashed(b[:8]), "found a signature of something else"},
		"of another, legacy":  {ours.legacy(b[:8]), "found a signature of something else"},
		"trusted comment":     {comment(ours.prehashed(b)), "found a signature of something else"},
		"its comment, legacy": {comment(ours.legacy(b)), "found a signature of something else"},
		"no signature at all": {[]byte("hello"), "found a signature that can't be read"},
		"empty":               {[]byte{}, "found a signature that can't be read"},
		"a file without bound": {make([]byte, maxSignature+1),
			"found a file of more than 65536 bytes, wanted a signature"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "guest.wasm")
			save(t, path, b)
			if c.signature != nil {
				save(t, path+signatureSuffix, c.signature)
			}
			cfg := configuration(numbered(path, config.IsolationLoop, 0))
			cfg.Trust.Keys = []string{ours.public}
			err := Validate(context.Background(), cfg, Options{})
			if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
				t.Errorf("found %v, wanted %q", err, c.want)
			}
		})
	}
}

// TestTrust: an unsigned module gets in by none of the ways that there are, and what
// ran runs on.
func TestTrust(t *testing.T) {
	ours := newSigner(t)
	dir := t.TempDir()
	path, other := filepath.Join(dir, "guest.wasm"), filepath.Join(dir, "other.wasm")
	first, second := read(t, "testdata/counter.wasm"), read(t, "testdata/echo.wasm")
	save(t, path, first)
	save(t, path+signatureSuffix, ours.prehashed(first))
	save(t, other, second)
	cfg := configuration(numbered(path, config.IsolationLoop, 0))
	cfg.Trust = ours.trust()
	s := serve(t, cfg)
	refused := func(how string, err error) {
		t.Helper()
		if bad := (*LoadError)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "signature") {
			t.Errorf("%s: found %v, wanted it refused for its signature", how, err)
		}
		if info, err := s.Plugin("guest"); err != nil || len(info.Versions) != 1 || info.State != "active" {
			t.Errorf("%s: found %+v, %v, wanted the first version alone", how, info, err)
		}
	}
	ctx := context.Background()
	refused("load", last(s.LoadPlugin(ctx, "more", numbered(other, config.IsolationLoop, 0))))
	save(t, path, second) // and the signature is the first one's
	_, err := s.ReloadPlugin(ctx, "guest", false)
	refused("a changed file", err)
	_, err = s.ReloadPlugin(ctx, "guest", true)
	refused("forced", err)
	refused("configuration", last(s.Reload(ctx, cfg)))
	again := configuration(numbered(other, config.IsolationLoop, 0))
	again.Trust = ours.trust()
	refused("another file", last(s.Reload(ctx, again)))
	refused("start", newServer(t, again).Start(ctx))

	save(t, path+signatureSuffix, ours.legacy(second))
	if _, err := s.ReloadPlugin(ctx, "guest", false); err != nil {
		t.Errorf("signed: %v", err)
	}
}

// TestTrustComesLater: keys that a new configuration trusts hold for what is loaded
// already: to stay it must be signed, and so must what is gone back to.
func TestTrustComesLater(t *testing.T) {
	ours := newSigner(t)
	path := filepath.Join(t.TempDir(), "guest.wasm")
	first, second := read(t, "testdata/counter.wasm"), read(t, "testdata/echo.wasm")
	save(t, path, first)
	s := serve(t, configuration(numbered(path, config.IsolationLoop, 0)))
	ctx := context.Background()
	old, err := s.Plugin("guest")
	if err != nil {
		t.Fatal(err)
	}
	strict := configuration(numbered(path, config.IsolationLoop, 0))
	strict.Trust = ours.trust()
	if err := last(s.Reload(ctx, strict)); err == nil || len(s.Config().Trust.Keys) > 0 {
		t.Errorf("found %v, wanted the unsigned module refused, and nothing changed", err)
	}
	save(t, path, second)
	save(t, path+signatureSuffix, ours.prehashed(second))
	if err := last(s.Reload(ctx, strict)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UsePlugin(ctx, old.Active); err == nil || !strings.Contains(err.Error(), "found no signature") {
		t.Errorf("found %v, wanted the unsigned version refused", err)
	}
	if now, err := s.Plugin("guest"); err != nil || now.Active == old.Active || len(now.Versions) != 2 {
		t.Errorf("found %+v, %v, wanted both versions, and the signed one active", now, err)
	}
}

// TestFetched: a module of https:// is fetched, kept, and held against its signature;
// a fetch that fails leaves what runs.
func TestFetched(t *testing.T) {
	ours := newSigner(t)
	var mu sync.Mutex
	files := map[string][]byte{}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if b, there := files[r.URL.Path]; there {
			_, _ = w.Write(b)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(web.Close)
	set := func(b, signature []byte) {
		mu.Lock()
		defer mu.Unlock()
		clear(files)
		if b != nil {
			files["/guest.wasm"] = b
		}
		if signature != nil {
			files["/guest.wasm"+signatureSuffix] = signature
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	dir := t.TempDir()
	start := func(pull config.PullPolicy) (*server, error) {
		p := numbered(web.URL+"/guest.wasm", config.IsolationLoop, 0)
		p.Pull = pull
		cfg := configuration(p)
		cfg.Trust = ours.trust()
		s := newServer(t, cfg)
		s.sources.fetch = fetch.New(fetch.Options{Dir: dir, Roots: roots})
		err := s.Start(context.Background())
		t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
		return s, err
	}
	first, second := read(t, "testdata/counter.wasm"), read(t, "testdata/echo.wasm")
	ctx := context.Background()
	set(first, nil)
	if _, err := start(config.PullMissing); err == nil || !strings.Contains(err.Error(), "found no signature") {
		t.Fatalf("found %v, wanted the unsigned module refused", err)
	}
	set(first, ours.prehashed(first))
	s, err := start(config.PullAlways)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := s.Plugin("guest")
	for how, step := range map[string][2][]byte{"gone": {nil, nil}, "unsigned": {second, nil},
		"another's": {second, ours.prehashed(first)}} {
		set(step[0], step[1])
		if _, err := s.ReloadPlugin(ctx, "guest", false); err == nil {
			t.Errorf("%s: found no fault", how)
		}
		if now, err := s.Plugin("guest"); err != nil || now.Active != one.Active {
			t.Errorf("%s: found %+v, %v, wanted what ran", how, now, err)
		}
	}
	set(second, ours.legacy(second))
	if out, err := s.ReloadPlugin(ctx, "guest", false); err != nil || out.Unchanged {
		t.Errorf("found %+v, %v, wanted the new module", out, err)
	}
	set(nil, nil) // the server is gone: what is kept starts
	for _, pull := range []config.PullPolicy{config.PullMissing, config.PullNever} {
		if _, err := start(pull); err != nil {
			t.Errorf("%s: %v", pull, err)
		}
	}
}

// TestSlowServer: a server that takes its time holds up no other change; the module comes
// when it comes, and a host that ends waits for none.
func TestSlowServer(t *testing.T) {
	asked, let := make(chan struct{}, 10), make(chan struct{})
	b := read(t, "testdata/echo.wasm")
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-let:
			_, _ = w.Write(b) // who has gone needs it no more
		case <-r.Context().Done():
		}
	}))
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	s := newServer(t, configuration(numbered("testdata/counter.wasm", config.IsolationLoop, 0)))
	s.sources.fetch = fetch.New(fetch.Options{Dir: t.TempDir(), Roots: roots})
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	far := numbered(web.URL+"/guest.wasm", config.IsolationLoop, 0)
	far.Pull = config.PullAlways
	all := s.Config()
	all.Plugins = map[string]config.Plugin{"guest": far}
	for _, c := range []struct {
		what string
		slow func() error
	}{
		{"load", func() error { _, err := s.LoadPlugin(ctx, "far", far); return err }},
		{"reload", func() error { _, err := s.ReloadPlugin(ctx, "far", true); return err }},
		{"unpin", func() error { _, err := s.UnpinPlugin(ctx, "far"); return err }},
		{"configuration", func() error { _, err := s.Reload(ctx, all); return err }},
	} {
		done := make(chan error, 1)
		go func() { done <- c.slow() }()
		<-asked
		near := numbered("testdata/counter.wasm", config.IsolationLoop, 1)
		if _, err := s.LoadPlugin(ctx, "near", near); err != nil {
			t.Errorf("%s: found %v, wanted another plugin loaded meanwhile", c.what, err)
		}
		if _, err := s.UnloadPlugin(ctx, "near"); err != nil {
			t.Errorf("%s: found %v, wanted it unloaded", c.what, err)
		}
		let <- struct{}{}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	done := make(chan error, 1)
	go func() { _, err := s.ReloadPlugin(ctx, "guest", true); done <- err }()
	<-asked
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, ErrNotRunning) {
		t.Errorf("found %v, wanted that the host ends", err)
	}
}
