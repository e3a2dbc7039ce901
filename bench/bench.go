package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// peerFiles are what other servers run.
//
//go:embed twisted_*.py testdata/*.wasm
var peerFiles embed.FS

// bench is one measurement.
type bench struct {
	ctx       context.Context
	o         options
	log       io.Writer
	root      string        // of the repository
	self      string        // this program
	dir       string        // temporary files
	cache     string        // compiled modules
	rounds    int           // that are complete
	disturbed time.Duration // other programs' processor time in the runs that were kept
	ran       time.Duration // their length
	samples   map[key][]sample
	skips     map[key]skipped
}

// key is a cell of the results: a case and a server.
type key struct{ Case, Server string }

func newBench(ctx context.Context, o options, log io.Writer) (*bench, error) {
	b := &bench{ctx: ctx, o: o, log: log, samples: map[key][]sample{}, skips: map[key]skipped{}}
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		return nil, fmt.Errorf("%w: wanted redis-benchmark (Debian's redis-tools)", err)
	}
	if err := raiseLimit(); err != nil {
		return nil, err
	}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.root, err = repository(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "wirehost-bench-"); err != nil {
		return nil, err
	}
	b.cache = filepath.Join(b.dir, "modules")
	if err := os.CopyFS(b.dir, peerFiles); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// repository is the nearest folder, from here upwards, with the small guest.
func repository() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, smallGuest)); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("found no %s here or above, wanted to run in the repository", smallGuest)
		}
	}
	return "", err
}

// build builds the command, once.
func (b *bench) build() (string, error) {
	program := filepath.Join(b.dir, "wirehost")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.CommandContext(b.ctx, "go", "build", "-o", program, "./"+command)
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", command, err, out)
	}
	return program, nil
}

// guest builds a Go guest, once.
func (b *bench) guest(module, from string) (string, error) {
	return b.made(filepath.Join(module, from)+".wasm", func(file string) *exec.Cmd {
		cmd := exec.CommandContext(b.ctx, "go", "build", "-buildmode=c-shared", "-o", file, from)
		cmd.Dir, cmd.Env = filepath.Join(b.root, module), append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		return cmd
	})
}

// guestC builds one of the guests in folder c on the SDK for C, once.
func (b *bench) guestC(name string) (string, error) {
	sdk := filepath.Join(b.root, "sdk/c")
	return b.made(name+".wasm", func(file string) *exec.Cmd {
		return exec.CommandContext(b.ctx, "clang-19", "--target=wasm32", "-O2", "-nostdlib", "-mbulk-memory", "-I", sdk,
			"-Wl,--no-entry", "-Wl,--stack-first", "-o", file, filepath.Join(b.root, "bench/c", name+".c"),
			filepath.Join(sdk, "wirehost.c"))
	})
}

// nativeC builds one of the programs in folder c, once.
func (b *bench) nativeC(name string) (string, error) {
	return b.made(name, func(file string) *exec.Cmd {
		return exec.CommandContext(b.ctx, "clang-19", "-O2", "-o", file, filepath.Join(b.root, "bench/c", name+".c"))
	})
}

// made is a file that a command makes, once.
func (b *bench) made(name string, by func(file string) *exec.Cmd) (string, error) {
	file := filepath.Join(b.dir, strings.ReplaceAll(name, "/", "_"))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if out, err := by(file).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return file, nil
}

func (b *bench) close() error { return os.RemoveAll(b.dir) }

// all runs the rounds. In each, every case goes through all servers, another
// one first each time, so that what else the machine does falls on all alike.
func (b *bench) all() error {
	for round := range b.o.rounds {
		for _, c := range cases() {
			if len(b.o.cases) > 0 && !contains(b.o.cases, c.name) {
				continue
			}
			list := b.chosen(c)
			for n := range list {
				s := list[(n+round)%len(list)]
				if err := b.one(round, c, s); err != nil {
					return err
				}
			}
		}
		b.rounds = round + 1
	}
	return nil
}

// one runs a case on a server. A server that can't run it is left out and said
// so; one that fails ends the measurement.
func (b *bench) one(round int, c *benchCase, s server) error {
	k := key{c.name, s.name}
	if b.skips[k].error != nil {
		return nil
	}
	began := time.Now()
	m, err := c.run(b, c, s)
	var skip skipped
	switch {
	case errors.As(err, &skip):
		b.skips[k] = skip
		if !expected(skip) {
			fmt.Fprintf(b.log, "skipped: %s, %s: %v\n", c.name, s.name, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("%s, %s: %w", c.name, s.name, err)
	}
	b.samples[k] = append(b.samples[k], m)
	var text strings.Builder
	for _, name := range c.metrics {
		fmt.Fprintf(&text, "  %s %.4g", name, m[name])
	}
	fmt.Fprintf(b.log, "round %d of %d  %-8s %-18s%s  (%.1f s)\n", round+1, b.o.rounds, c.name, s.name, &text,
		time.Since(began).Seconds())
	return nil
}

// expected tells the skips that need no word.
func expected(s skipped) bool {
	return errors.Is(s, errNoTLS) || errors.Is(s, errOnlyTLS) || errors.Is(s, errOnlyReady) ||
		errors.Is(s, errOnlyLines) || errors.Is(s, errNoLines) || errors.Is(s, errNothing) ||
		errors.Is(s, errOnlyTCP)
}

// chosen are a case's servers of those of the flags, and package net, with which they
// are compared.
func (b *bench) chosen(c *benchCase) []server {
	var list []server
	for _, s := range servers() {
		if s.name == baseline || (len(b.o.servers) == 0 || hasPrefixOf(s.name, b.o.servers)) &&
			(len(c.only) == 0 || hasPrefixOf(s.name, c.only)) {
			list = append(list, s)
		}
	}
	return list
}

const baseline, floor = "net", "epoll"

func hasPrefixOf(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
