package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/wirehost/wirehost/bench/same"
	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/heapfloor"
	"github.com/wirehost/wirehost/reactor"
)

// serveOptions are the flags of "bench serve NAME": one server, on a port that
// the system chooses and that it prints.
type serveOptions struct {
	buffer    int // net and extism: bytes of each connection's buffer
	module    string
	front     string // wirehost: a module before module, in a chain
	hands     string // wirehost: a module that hands its connections over to module
	route     bool   // wirehost: module gets its connections by a rule
	isolation string
	cache     string // directory of compiled modules
	tls       bool
	config    string // a text, the guest's configuration
	pageOut   time.Duration
	image     bool
	profile   bool
	pprof     string // address of net/http/pprof
	addr      string // knock: whose start is awaited
	udp       bool   // net, epoll, reactor, wirehost: datagrams
	dns       bool   // net: package names
}

const served = "net, lines, native, epoll, gnet, extism, envoy, nginx, reactor or wirehost"

// serve runs a server until it is killed.
func serve(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errors.New("serve: found no name, wanted " + served)
	}
	var o serveOptions
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.IntVar(&o.buffer, "buffer", 4<<10, "net, extism: buffer of each connection, in `bytes`")
	fs.StringVar(&o.module, "module", "", "wirehost, extism, envoy: `file` of the guest")
	fs.StringVar(&o.front, "front", "", "wirehost: a `module` that is before the other, in a chain")
	fs.StringVar(&o.hands, "hands", "", "wirehost: a `module` that hands its connections over to the other")
	fs.BoolVar(&o.route, "route", false, "wirehost: a rule gives the module its connections")
	fs.StringVar(&o.isolation, "isolation", "loop", "wirehost: connection, loop or shared")
	fs.StringVar(&o.config, "guest", "", "wirehost, native: which `server` of package same")
	fs.DurationVar(&o.pageOut, "page-out", time.Second, "wirehost: after what `time` idle instances are paged out")
	fs.BoolVar(&o.image, "image", true, "wirehost: instances are made from an image")
	fs.BoolVar(&o.profile, "profile", false, "wirehost: a profile runs")
	fs.StringVar(&o.cache, "cache", "off", "wirehost: `folder` of compiled modules")
	fs.BoolVar(&o.tls, "tls", false, "net, envoy, reactor, wirehost: TLS with a certificate made now")
	fs.StringVar(&o.addr, "addr", "", "knock: `address` whose start is awaited")
	fs.BoolVar(&o.udp, "udp", false, "net, epoll, reactor, wirehost: datagrams")
	fs.BoolVar(&o.dns, "dns", false, "net: a name server")
	fs.StringVar(&o.pprof, "pprof", "", "`address` for net/http/pprof")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	if o.pprof != "" {
		go http.ListenAndServe(o.pprof, nil) // its end is not the server's
	}
	if o.udp && args[0] != "wirehost" {
		return serveDatagrams(args[0], stdout)
	}
	if o.dns {
		return serveNames(stdout)
	}
	switch args[0] {
	case "net":
		return serveNet(o, stdout)
	case "lines":
		return serveLines(stdout)
	case "native":
		return serveNative(o, stdout)
	case "epoll":
		return serveEpoll(o, stdout)
	case "gnet":
		return serveGnet(o, stdout)
	case "extism":
		return serveExtism(o, stdout)
	case "envoy":
		return serveEnvoy(o, stdout)
	case "nginx":
		return serveNginx(stdout)
	case "knock":
		return knock(o.addr, stdout)
	case "reactor":
		return serveReactor(o, stdout)
	case "wirehost":
		return serveWirehost(o, stdout)
	}
	return fmt.Errorf("serve: found %q, wanted %s", args[0], served)
}

// reactorEcho is a Protocol in Go on our reactor.
type reactorEcho struct{ t reactor.Transport }

func (e *reactorEcho) ConnectionMade(t reactor.Transport)            { e.t = t }
func (e *reactorEcho) ConnectionLost(reason reactor.Reason, _ error) {}

// DataReceived drops Write's error: the loop tells of the loss itself.
func (e *reactorEcho) DataReceived(p []byte) { e.t.Write(p) }

type reactorFactory struct{}

func (reactorFactory) BuildProtocol(reactor.Transport) (reactor.Protocol, error) {
	return &reactorEcho{}, nil
}

func serveReactor(o serveOptions, stdout io.Writer) error {
	r, err := reactor.New(reactor.Config{Loops: 1})
	if err != nil {
		return err
	}
	endpoint, lo := "tcp://127.0.0.1:0", reactor.ListenOptions{Loop: -1}
	if o.tls {
		cert, err := selfSigned()
		if err != nil {
			return err
		}
		endpoint, lo.TLS = "tls://127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	ep, err := reactor.ParseEndpoint(endpoint)
	if err != nil {
		return err
	}
	ln, err := r.Listen(ep, reactorFactory{}, lo)
	if err != nil {
		return err
	}
	if err := errors.Join(r.Start(), ln.Start()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening 127.0.0.1:%d\n", ln.Endpoint().Port)
	select {}
}

// serveWirehost is the whole host with one plugin behind one listener.
func serveWirehost(o serveOptions, stdout io.Writer) error {
	p := config.DefaultPlugin()
	p.Module, p.Isolation, p.Image, p.PageOut = o.module, config.Isolation(o.isolation), o.image, o.pageOut
	p.Limits.Instances = 0
	if o.config != "" {
		p.Config, p.Limits.CallbackTime = o.config, time.Second // a login's cryptography, and others run beside
	}
	l := config.Listener{Endpoint: "tcp://127.0.0.1:0", Plugin: "echo"}
	if o.udp {
		l.Endpoint, l.ReceiveBuffer = "udp://127.0.0.1:0", datagramBuffer
	}
	plugins := map[string]config.Plugin{"echo": p}
	if o.front != "" {
		front := p
		front.Module = o.front
		plugins["front"], l.Plugin, l.Chain = front, "", []string{"front", "echo"}
	}
	if o.hands != "" {
		front := p
		front.Module, front.Allow.HandOver = o.hands, []string{"other"}
		plugins["front"], plugins["other"], l.Plugin = front, p, "front"
	}
	if o.route {
		l.Route = []config.Route{{Regexp: config.Words{"(?s)^."}, Plugin: "echo"}}
	}
	if o.tls {
		dir, err := certificateFolder()
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		l.Endpoint = "tls://127.0.0.1:0"
		l.TLS.Cert, l.TLS.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	}
	h, err := host.New(config.Config{
		Reactor: config.Reactor{Loops: 1}, Cache: config.Cache{Dir: o.cache},
		Plugins: plugins, Listeners: []config.Listener{l},
	}, host.Options{Logger: hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn})})
	if err != nil {
		return err
	}
	if err := h.Start(context.Background()); err != nil {
		return err
	}
	if !h.Ready() {
		return errors.New("wirehost: started and not ready")
	}
	if os.Getenv("GOGC") == "" { // as the command does
		heapfloor.Keep(heapfloor.Server)
	}
	fmt.Fprintf(stdout, "listening 127.0.0.1:%d\n", h.Listeners()[0].Port)
	for o.profile {
		if _, err := h.Profile(context.Background(), "echo", time.Second); err != nil {
			return err
		}
	}
	select {}
}

// serveNative is a server of package same, with nothing of ours.
func serveNative(o serveOptions, stdout io.Writer) error {
	serve, err := same.Server(o.config)
	if err != nil {
		return err
	}
	ln, err := listenAnywhere(stdout)
	if err != nil {
		return err
	}
	return serve(ln)
}

// newCertificate makes a P-256 certificate for loopback that is valid for a
// day, and its key, both in DER.
func newCertificate() (cert, key []byte, err error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if cert, err = x509.CreateCertificate(rand.Reader, t, t, &priv.PublicKey, priv); err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKCS8PrivateKey(priv)
	return cert, key, err
}

func pemPair() (cert, key []byte, err error) {
	c, k, err := newCertificate()
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}), nil
}

func selfSigned() (tls.Certificate, error) {
	cert, key, err := pemPair()
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// certificateFolder makes a folder with cert.pem and key.pem.
func certificateFolder() (string, error) {
	dir, err := os.MkdirTemp("", "wirehost-bench-")
	if err != nil {
		return "", err
	}
	return dir, writeCertificate(dir)
}

func writeCertificate(dir string) error {
	cert, key, err := pemPair()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600))
}
