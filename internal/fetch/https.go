package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// newClient makes an HTTP client that goes to https alone, wherever a server points to;
// and to the host plain without, which is a registry on a loopback address.
func newClient(roots *x509.CertPool, plain string) *http.Client {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
		DisableCompression: true, // bytes are counted and summed up as they come
		DisableKeepAlives:  true, // the next fetch is far
	}
	return &http.Client{
		Transport: encrypted{t, plain},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("found more than %d redirections", maxRedirects)
			}
			return nil
		},
	}
}

// encrypted refuses what is not https.
type encrypted struct {
	*http.Transport
	plain string // host and port that may be
}

// RoundTrip is called for each redirection as well.
func (e encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && (r.URL.Host != e.plain || e.plain == "") {
		return nil, fmt.Errorf("found a way to %s://%s, wanted https", r.URL.Scheme, r.URL.Host)
	}
	return e.Transport.RoundTrip(r)
}

// isLoopback tells whether a registry's host is this machine, by its name.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// download gets a module of https://. A nil body: it is what is kept.
func (f *Fetcher) download(ctx context.Context, q Request, rec record) (record, *body, error) {
	now := record{Source: q.Source}
	resp, err := f.get(ctx, q.Source, rec.ETag)
	if err != nil {
		return now, nil, err
	}
	defer resp.Body.Close() // it was only read
	var b *body
	if resp.StatusCode == http.StatusNotModified && rec.ETag != "" {
		now = rec
	} else {
		if resp.StatusCode != http.StatusOK {
			return now, nil, fmt.Errorf("the server answered %s, wanted 200 OK", resp.Status)
		}
		if resp.ContentLength > q.Limit {
			return now, nil, tooLong(q.Limit)
		}
		now.ETag = resp.Header.Get("ETag")
		if b, err = f.take(ctx, resp.Body, q.Limit); err != nil {
			return now, nil, err
		}
	}
	if q.Signed {
		if now.Signature, err = f.signatureOf(ctx, q.Source); err != nil {
			if b != nil {
				b.drop()
			}
			return now, nil, err
		}
	}
	return now, b, nil
}

func (f *Fetcher) get(ctx context.Context, source, etag string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, err
	}
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	resp, err := f.client.Do(r)
	var u *url.Error
	if errors.As(err, &u) { // its URL is the caller's, who names it, or where a redirection led
		err = u.Err
	}
	return resp, err
}

// signatureOf gets the signature beside a module; "" = there is none.
func (f *Fetcher) signatureOf(ctx context.Context, source string) (string, error) {
	u, err := url.Parse(source)
	if err != nil {
		return "", err
	}
	u.Path += ".minisig"
	resp, err := f.get(ctx, u.String(), "")
	if err != nil {
		return "", fmt.Errorf("its signature: %w", err)
	}
	defer resp.Body.Close() // it was only read
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden: // which some stores say of what is not there
		return "", nil
	default:
		return "", fmt.Errorf("its signature: the server answered %s, wanted 200 OK", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxSmall))
	return string(text), err
}
