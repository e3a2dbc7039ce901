package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/internal/lines"
	"github.com/wirehost/wirehost/reactor"
)

const (
	// maxAnswer bounds what a server may have the command read, in bytes: a
	// million connections.
	maxAnswer = 512 << 20
	// pollEvery is how often --wait asks.
	pollEvery = 200 * time.Millisecond
)

// adminFlag adds --admin, for commands that talk to a running host, and what they are
// known by there.
func adminFlag(cmd *cobra.Command) *string {
	f := cmd.Flags()
	f.String("token-file", "", "`FILE` with the token that the host asks for (default: the configured one)")
	f.String("ca", "", "`FILE` of certificates that vouch for the host's (default: the system's)")
	f.String("cert", "", "`FILE` with the certificate that the host asks for")
	f.String("key", "", "`FILE` with its key")
	return f.String("admin", "",
		"administration `ENDPOINT` of the host, unix://PATH, tcp://HOST:PORT or https://HOST:PORT "+
			"(default: the configured one)")
}

// client talks to the administration of a running host.
type client struct {
	endpoint string
	base     string // of URLs
	http     http.Client
	token    string // "" = none
}

// client makes one for an endpoint, or for the configured one. Where neither says which,
// it is the default one, and who that is is said where it may be another than is meant.
func (a *app) client(endpoint string) (*client, error) {
	c, guessed, err := a.quietClient(endpoint)
	if err == nil && guessed {
		if text := a.guess(c); text != "" {
			fmt.Fprintln(a.stderr, "wirehost:", lines.Visible(text))
		}
	}
	return c, err
}

// guessTime is how long a host has to say which configuration it runs.
const guessTime = 2 * time.Second

// guess says whose host is asked, where that is another user's, or another
// configuration's than the command line names.
func (a *app) guess(c *client) string {
	if name, _, other, known := ownerOf(c.endpoint); known && other {
		return fmt.Sprintf("asking the host of user %s at %s; --admin names another", name, c.endpoint)
	}
	if a.file == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), guessTime)
	defer cancel()
	s, err := c.status(ctx)
	if err != nil || sameFile(s.Config, a.file) {
		return "" // the request itself tells what is wrong
	}
	return fmt.Sprintf("asking the host at %s, which runs %s and not %s; --admin names another", c.endpoint,
		orElse(s.Config, "what is built in"), a.file)
}

func sameFile(a, b string) bool {
	if abs, err := filepath.Abs(b); err == nil && a == abs {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// errUnread says what to do where the configuration can't be read.
var errUnread = errors.New("the configuration says where the host is asked: --admin ENDPOINT asks it without")

// quietClient makes a client. guessed: nothing says that this host is meant.
func (a *app) quietClient(endpoint string) (c *client, guessed bool, err error) {
	by := a.knownBy()
	if endpoint == "" {
		cfg, err := a.load(context.Background())
		if err != nil {
			return nil, false, errors.Join(err, errUnread)
		}
		endpoint = by.configured(cfg.Admin)
	}
	if endpoint == "" {
		endpoint, guessed = admin.DefaultEndpoint(a.getenv), true
		if err := admin.CheckDefault(endpoint); err != nil {
			return nil, false, fmt.Errorf("the default endpoint of the administration: %w; --admin names another", err)
		}
	}
	c, err = a.newClient(endpoint, by)
	return c, guessed, err
}

func (a *app) newClient(endpoint string, by *knownBy) (*client, error) {
	switch endpoint {
	case admin.Off:
		return nil, errors.New("admin.listen is off: a host so configured can't be asked")
	}
	plain, secure := strings.CutPrefix(endpoint, "https://")
	if secure {
		plain = "tcp://" + strings.TrimSuffix(plain, "/")
	}
	e, err := reactor.ParseEndpoint(plain)
	if err != nil || e.Scheme == "tls" {
		return nil,
			&usageError{fmt.Errorf("--admin: found %q, wanted unix://PATH, tcp://HOST:PORT or https://HOST:PORT",
				endpoint)}
	}
	if ip, err := netip.ParseAddr(e.Host); e.Scheme == "tcp" && (e.Host == "" || err == nil && ip.IsUnspecified()) {
		e.Host = "localhost" // where the host listens on all addresses
	}
	network, address := "unix", e.Path
	c := &client{endpoint: endpoint, base: "http://wirehost"}
	if e.Scheme == "tcp" {
		network, address = "tcp", strings.TrimPrefix(e.String(), "tcp://")
		c.base = "http://" + address
		if secure || by.secure() {
			c.base = "https://" + address
		}
		if err := a.introduce(c, e, by); err != nil {
			return nil, err
		}
	}
	dial := (&net.Dialer{}).DialContext
	if strings.HasPrefix(c.base, "https:") {
		dial = (&tls.Dialer{Config: by.tls}).DialContext
	}
	asks := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &asker{Conn: conn, begun: make(chan struct{})}, nil
	}
	c.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: asks, DialTLSContext: asks}
	return c, nil
}

// asker is a connection that reads nothing before it has written or is closed. What a
// server says that greets whoever comes, as one for mail does, is so the answer to the
// request; net/http, which reads at once, would find it unasked for, and say so on stderr.
type asker struct {
	net.Conn
	once  sync.Once
	begun chan struct{} // closed by the first Write, or by Close
}

func (a *asker) begin() { a.once.Do(func() { close(a.begun) }) }

func (a *asker) Read(b []byte) (int, error) {
	<-a.begun
	return a.Conn.Read(b)
}

func (a *asker) Write(b []byte) (int, error) {
	a.begin()
	return a.Conn.Write(b)
}

func (a *asker) Close() error {
	a.begin()
	return a.Conn.Close()
}

// getenv is the environment that the command was given.
func (a *app) getenv(key string) string {
	for n := len(a.env) - 1; n >= 0; n-- {
		if value, ok := strings.CutPrefix(a.env[n], key+"="); ok {
			return value
		}
	}
	return ""
}

// ask makes one request. in is its body, nil for none; out gets the answer's.
func (c *client) ask(ctx context.Context, method, path string, in, out any) error {
	text, err := c.fetch(ctx, method, path, in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s is no wirehost: found no JSON in answer to %s %s", c.endpoint, method, path)
	}
	return nil
}

// fetch makes one request, and gives the answer's body.
func (c *client) fetch(ctx context.Context, method, path string, in any) ([]byte, error) {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // it was only read
	return c.read(resp)
}

// read is an answer's body, or what it says that is wrong.
func (c *client) read(resp *http.Response) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s did not arrive: %w", c.endpoint, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, problemError(resp, text)
	}
	return text, nil
}

// stream makes one request, and writes the answer as it comes, until it ends or ctx is done.
func (c *client) stream(ctx context.Context, path string, to io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // it was only read
	if resp.StatusCode >= http.StatusBadRequest {
		_, err := c.read(resp)
		return err
	}
	if _, err = io.Copy(to, resp.Body); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the host at %s went away: %w", c.endpoint, err)
	}
	return nil
}

// send makes one request. The answer's body is to be closed.
func (c *client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", admin.UserAgent)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return resp, nil
}

// unreachable says why there is no answer.
func (c *client) unreachable(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("this user may not talk to the host at %s%s (%w): run the command as the host's user, "+
				"or as a member of its group", c.endpoint, ownerText(c.endpoint), op.Err)
		}
		return fmt.Errorf("no host answers at %s (%w): start one with 'wirehost serve', "+
			"or name its endpoint with --admin",
			c.endpoint, op.Err)
	}
	if errors.As(err, &op) && op.Op == "remote error" { // as crypto/tls names an alert
		return fmt.Errorf("the host at %s lets in nobody without a certificate that it knows (%w): name one with "+
			"--cert and --key", c.endpoint, op.Err)
	}
	if bad := (x509.HostnameError{}); errors.As(err, &bad) {
		return fmt.Errorf("the host at %s shows a certificate that is another name's (%w): ask by a name that it has, "+
			"with --admin https://NAME:PORT", c.endpoint, bad)
	}
	if bad := (*tls.CertificateVerificationError)(nil); errors.As(err, &bad) {
		return fmt.Errorf("the host at %s shows a certificate that is not trusted here (%w): name who vouches for it "+
			"with "+
			"--ca", c.endpoint, bad.Err)
	}
	if bad := (tls.RecordHeaderError{}); errors.As(err, &bad) {
		return fmt.Errorf("%s was asked by TLS, and answers without: leave out https://, --ca, --cert and --key, or "+
			"name another with --admin", c.endpoint)
	}
	if strings.Contains(err.Error(), "malformed HTTP") { // as net/http says it
		return fmt.Errorf("%s is no wirehost: found no HTTP there; --admin names another", c.endpoint)
	}
	return fmt.Errorf("the host at %s went away: %w", c.endpoint, err)
}

// problemError is what an answer says that is wrong. It is an *admin.Problem, and shown
// one fault a line.
func problemError(resp *http.Response, text []byte) error {
	p := &admin.Problem{}
	if err := json.Unmarshal(text, p); err != nil || p.Detail == "" {
		if strings.Contains(string(text), "to an HTTPS server") { // as net/http says it
			return errors.New("the host speaks TLS, and was asked without: wanted --admin https://HOST:PORT")
		}
		return fmt.Errorf("found %s", resp.Status)
	}
	for n, fault := range p.Faults {
		p.Faults[n] = withoutPlace(fault)
	}
	p.Detail = withoutPlace(p.Detail)
	return &answeredError{p}
}

// withoutPlace is a fault without the place in the request's body, which the command has
// written and nobody sees.
func withoutPlace(fault string) string {
	place, rest, found := strings.Cut(fault, ": ")
	if found && bodyPlace.MatchString(place) {
		return rest
	}
	return fault
}

var bodyPlace = regexp.MustCompile(`^body:\d+(:\d+)?$`) // never changed

// answeredError is a problem that a host has answered with.
type answeredError struct{ *admin.Problem }

func (e *answeredError) Error() string {
	list := e.Faults
	if len(list) == 0 {
		list = []string{e.Detail}
	}
	if e.Running != "" {
		list = append(slices.Clip(list), e.Running+" is still running")
	}
	return strings.Join(list, "\n")
}

func (e *answeredError) Unwrap() error { return e.Problem }

// anyLeft tells whether one of the versions has a connection.
func (c *client) anyLeft(ctx context.Context, versions []string) (bool, error) {
	for _, v := range versions {
		page, err := c.connections(ctx, map[string]string{"version": v}, "", 1)
		var p *admin.Problem
		switch {
		case errors.As(err, &p) && p.Status == http.StatusNotFound: // it is gone
		case err != nil:
			return false, err
		case len(page.Connections) > 0:
			return true, nil
		}
	}
	return false, nil
}

// drained waits until the last connection of some versions of a plugin has ended.
func (c *client) drained(ctx context.Context, versions ...string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		left, err := c.anyLeft(ctx, versions)
		if err != nil || !left {
			return err
		}
		<-tick.C
	}
}

// starts says so if a plugin that was loaded does not start; the host tries it
// again. wait: until it does.
func (c *client) starts(ctx context.Context, path string, wait bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var p host.PluginInfo
		if err := c.ask(ctx, http.MethodGet, path, nil, &p); err != nil {
			return err
		}
		switch {
		case p.State != "failed":
			return nil
		case !wait:
			return fmt.Errorf("plugin %s is loaded, and does not start: %s; the host tries it again", p.Name, p.Reason)
		}
		<-tick.C
	}
}
