package operate

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"path/filepath"
	"testing"

	"aead.dev/minisign"
)

// TestSignatureComesLater: a module is saved before its signature is. It is refused, and
// taken when the signature is there.
func TestSignatureComesLater(t *testing.T) {
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, module := filepath.Join(dir, "wirehost.yaml"), filepath.Join(dir, "p.wasm")
	sign := func(b []byte) {
		t.Helper()
		r := minisign.NewReader(bytes.NewReader(b))
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		save(t, module+".minisig", r.Sign(private))
	}
	write(t, file, settings("p.wasm", "trust: {keys: ["+public.String()+"]}\n"))
	save(t, module, echo(1))
	sign(echo(1))
	log := newJournal(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Options{Load: File(file), Log: log}) }()
	log.await("ready")
	save(t, module, echo(2))
	log.await("the changed module is refused")
	sign(echo(2))
	log.await("version is active")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
