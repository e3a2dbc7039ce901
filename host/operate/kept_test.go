package operate

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
)

// replacing is a server that has gone from version to version, whose names it gives.
func replacing(t *testing.T, versions byte) (k *kept, names []string) {
	t.Helper()
	dir := t.TempDir()
	save(t, filepath.Join(dir, "p.wasm"), echo(1))
	k = serveKept(t, dir)
	names = append(names, k.active(t))
	for n := byte(2); n <= versions; n++ {
		k.save(t, n)
		out, err := k.ReloadPlugin(context.Background(), "p", false)
		do(t, err)
		names = append(names, out.Version)
	}
	return k, names
}

// versions are those of p that can be gone over to, the active one first.
func (k *kept) versions(t *testing.T) string {
	t.Helper()
	info, err := k.Plugin("p")
	do(t, err)
	var list []string
	for _, v := range info.Versions {
		list = append(list, v.Name+" "+string(v.State))
	}
	return strings.Join(list, ", ")
}

// holds waits until there are as many copies of modules as are wanted.
func (k *kept) holds(t *testing.T, want int) {
	t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(k.dir, "state", "*", modulesDir, "*"))
		do(t, err)
		if len(files) == want {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("found the copies %q, wanted %d", files, want)
		}
	}
}

// TestKeptVersions: what keep_versions keeps is there after a restart, in the same order
// and under the same names, and nothing else of it.
func TestKeptVersions(t *testing.T) {
	ctx := context.Background()
	k, names := replacing(t, 6)
	want := names[5] + " active, " + names[4] + " standby, " + names[3] + " standby, " + names[2] + " standby"
	k.holds(t, 4)
	for range 2 {
		k = k.again(t)
		if found := k.versions(t); found != want {
			t.Fatalf("found %s, wanted %s", found, want)
		}
		k.holds(t, 4)
	}
	if _, err := k.UsePlugin(ctx, names[1]); err == nil || !strings.Contains(err.Error(), names[2]) {
		t.Errorf("found %v, wanted that it is gone, and what is there", err)
	}
	out, err := k.UsePlugin(ctx, names[2])
	do(t, err)
	if out.Version != names[2] || out.Previous != names[5] || !out.Pinned {
		t.Errorf("found %+v, wanted %s, pinned", out, names[2])
	}
	want = names[2] + " active, " + names[5] + " standby, " + names[4] + " standby, " + names[3] + " standby"
	if found := k.versions(t); found != want {
		t.Errorf("found %s, wanted %s", found, want)
	}
	k = k.again(t)
	k.expect(t, "after another restart", names[2])
	out, err = k.UsePlugin(ctx, names[5])
	do(t, err)
	if out.Pinned {
		t.Errorf("found %+v, wanted no pin: it is what is configured", out)
	}
	k.configure(t, ", keep_versions: 1")
	_, err = k.Reload(ctx)
	do(t, err)
	k.holds(t, 1) // of this module, whose settings have changed: so both versions have the same
	if found, want := k.versions(t), names[5]+"-2 active, "+names[5]+" standby"; found != want {
		t.Errorf("with fewer kept: found %s, wanted %s", found, want)
	}
}

// TestReplacedByRestart: what was active before a restart with other bytes is kept.
func TestReplacedByRestart(t *testing.T) {
	k, names := replacing(t, 1)
	k.end(t)
	k.save(t, 2)
	k = serveKept(t, k.dir)
	out, err := k.UsePlugin(context.Background(), names[0])
	do(t, err)
	if out.Version != names[0] {
		t.Errorf("found %+v, wanted %s", out, names[0])
	}
	k = k.again(t)
	k.expect(t, "after another restart", names[0])
}

// TestKeptWithSettings: settings make another version of the same bytes, and both keep
// their names.
func TestKeptWithSettings(t *testing.T) {
	k, names := replacing(t, 1)
	k.end(t)
	k.configure(t, ", drain: 7s")
	k = serveKept(t, k.dir)
	want := names[0] + "-2 active, " + names[0] + " standby"
	for range 2 {
		if found := k.versions(t); found != want {
			t.Errorf("found %s, wanted %s", found, want)
		}
		k = k.again(t)
	}
	_, err := k.UsePlugin(context.Background(), names[0])
	do(t, err)
	if found := k.Host.Pins()["p"].Section.Drain; found == 7*time.Second {
		t.Errorf("found the drain time %v, wanted that of %s", found, names[0])
	}
}

// TestKeptElsewhere: another way to the same configuration makes no other version.
func TestKeptElsewhere(t *testing.T) {
	k, names := replacing(t, 2)
	k.end(t)
	t.Chdir(filepath.Dir(k.dir))
	k = serveKept(t, filepath.Base(k.dir))
	if found, want := k.versions(t), names[1]+" active, "+names[0]+" standby"; found != want {
		t.Errorf("found %s, wanted %s", found, want)
	}
	if found := k.Host.Kept()["p"][0].Section.Module; !filepath.IsAbs(found) {
		t.Errorf("found %s, wanted a path that another folder has, too", found)
	}
}

// TestKeptGone: a version whose copy is gone or damaged is no way back, and stops nothing.
func TestKeptGone(t *testing.T) {
	k, names := replacing(t, 3)
	k.end(t)
	files, err := filepath.Glob(filepath.Join(k.dir, "state", "*", modulesDir, "*.wasm"))
	do(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		do(t, err)
		switch {
		case bytes.Equal(text, echo(1)):
			do(t, os.Remove(f))
		case bytes.Equal(text, echo(2)):
			do(t, os.WriteFile(f, echo(9), 0o600))
		}
	}
	k = serveKept(t, k.dir)
	if found, want := k.versions(t), names[2]+" active, "+names[1]+" standby"; found != want {
		t.Errorf("found %s, wanted %s", found, want)
	}
	_, err = k.UsePlugin(context.Background(), names[1])
	if err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("found %v, wanted that the copy is damaged", err)
	}
	k.expect(t, "after that", names[2])
}

// TestKeptAtUpgrade: a process that takes over has the versions of the one before, whose
// folder it is to get later.
func TestKeptAtUpgrade(t *testing.T) {
	ctx := context.Background()
	k, names := replacing(t, 3)
	next := k.takenOver(t)
	out, err := next.UsePlugin(ctx, names[0])
	do(t, err)
	if out.Version != names[0] || !out.Pinned {
		t.Errorf("found %+v, wanted %s, pinned", out, names[0])
	}
}

// signing signs as minisign does.
func signing(t *testing.T) (public string, sign func(b []byte) []byte) {
	t.Helper()
	key, private, err := minisign.GenerateKey(rand.Reader)
	do(t, err)
	return key.String(), func(b []byte) []byte {
		r := minisign.NewReader(bytes.NewReader(b))
		_, err := io.Copy(io.Discard, r)
		do(t, err)
		return r.Sign(private)
	}
}

// TestPinIsSigned: the signature of a pinned module is verified anew at each start, and
// nothing that the state's file says stands for it.
func TestPinIsSigned(t *testing.T) {
	public, sign := signing(t)
	_, forged := signing(t)
	trust := func(k *kept, key string) {
		text, err := os.ReadFile(k.file)
		do(t, err)
		before, _, _ := strings.Cut(string(text), "trust:")
		write(t, k.file, before+"trust: {keys: ["+key+"]}\n")
	}
	for name, c := range map[string]struct {
		spoil func(file string) error // of the signature
		want  string                  // "" = it holds
	}{
		"as it was":       {func(string) error { return nil }, ""},
		"no signature":    {os.Remove, "found no signature"},
		"somebody else's": {func(f string) error { return os.WriteFile(f, forged(echo(1)), 0o600) }, "by the key"},
		"of other bytes":  {func(f string) error { return os.WriteFile(f, sign(echo(2)), 0o600) }, "something else"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := &kept{dir: dir, file: filepath.Join(dir, "wirehost.yaml")}
			k.configure(t, "")
			trust(k, public)
			put := func(n byte) {
				save(t, filepath.Join(dir, "p.wasm.minisig"), sign(echo(n)))
				save(t, filepath.Join(dir, "p.wasm"), echo(n))
			}
			put(1)
			k = serveKept(t, dir)
			first := k.active(t)
			put(2)
			out, err := k.ReloadPlugin(context.Background(), "p", false)
			do(t, err)
			_, err = k.UsePlugin(context.Background(), first)
			do(t, err)
			k.end(t)
			files, err := filepath.Glob(filepath.Join(dir, "state", "*", modulesDir, "*.minisig"))
			do(t, err)
			if len(files) != 2 {
				t.Fatalf("found the signatures %q, wanted 2", files)
			}
			for _, f := range files {
				do(t, c.spoil(f))
			}
			k = serveKept(t, dir)
			if c.want == "" {
				k.expect(t, name, first)
				return
			}
			k.log.await(c.want)
			k.expect(t, name, out.Version)
		})
	}
}
