package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/credentials"
	"github.com/wirehost/wirehost/reactor"
)

// knownBy is what a command and the host that it asks know one another by, on TCP.
type knownBy struct {
	tokenFile, ca, cert, key string
	// the certificate that the configuration has the host show; "" = any that is vouched for
	shown string
	tls   *tls.Config
}

// knownBy is what the command line says of it.
func (a *app) knownBy() *knownBy {
	by := &knownBy{}
	if a.asked == nil {
		return by
	}
	for name, to := range map[string]*string{
		"token-file": &by.tokenFile, "ca": &by.ca, "cert": &by.cert, "key": &by.key,
	} {
		if f := a.asked.Lookup(name); f != nil {
			*to = f.Value.String()
		}
	}
	return by
}

// configured is where the configuration has the host listen. What it says of its token
// and its certificate holds, where the command line does not.
func (by *knownBy) configured(cfg config.Admin) (endpoint string) {
	if by.tokenFile == "" {
		by.tokenFile = cfg.TokenFile
	}
	if by.ca == "" {
		by.shown = cfg.TLS.Cert
	}
	return cfg.Listen
}

func (by *knownBy) secure() bool { return by.ca != "" || by.cert != "" || by.shown != "" }

// introduce reads what c is to be known by, and whom it is to believe.
func (a *app) introduce(c *client, e reactor.Endpoint, by *knownBy) (err error) {
	secure := strings.HasPrefix(c.base, "https:")
	if (by.cert == "") != (by.key == "") {
		return &usageError{errors.New("found one of --cert and --key, wanted both or none")}
	}
	if by.tokenFile != "" {
		ip, err := netip.ParseAddr(e.Host)
		if local := e.Host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsUnspecified()); !secure && !local {
			return fmt.Errorf("%s: found a token for a host on the network, wanted https://, so that nobody reads it",
				c.endpoint)
		}
		if c.token, err = credentials.ReadToken(context.Background(), a.files, by.tokenFile); err != nil {
			return fmt.Errorf("the token for %s: %w", c.endpoint, err)
		}
	}
	if !secure {
		return nil
	}
	by.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case by.ca != "":
		text, err := a.readText(by.ca)
		if err != nil {
			return err
		}
		by.tls.RootCAs = x509.NewCertPool()
		if !by.tls.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("--ca: found no certificate in %s, wanted PEM", by.ca)
		}
	case by.shown != "":
		if err := a.expect(by); err != nil {
			return err
		}
	}
	switch {
	case by.cert == "" && by.key == "":
		return nil
	case by.cert == "" || by.key == "":
		return fmt.Errorf("found --cert %q and --key %q, wanted both or neither", by.cert, by.key)
	}
	cert, err := a.readText(by.cert)
	if err != nil {
		return err
	}
	key, err := a.readText(by.key)
	if err != nil {
		return err
	}
	pair, err := credentials.ParsePair(cert, key)
	if err != nil {
		return fmt.Errorf("--cert %s, --key %s: %w", by.cert, by.key, err)
	}
	by.tls.Certificates = []tls.Certificate{*pair}
	return nil
}

// expect has the host show the certificate that its configuration names: it need not be
// one for the address, nor of an authority that this machine trusts.
func (a *app) expect(by *knownBy) error {
	text, err := a.readText(by.shown)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("admin.tls.cert: found no certificate in %s, wanted PEM", by.shown)
	}
	by.tls.InsecureSkipVerify = true // VerifyConnection does it
	by.tls.VerifyConnection = func(s tls.ConnectionState) error {
		if !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
			return errors.New("the host shows another certificate than that of admin.tls.cert")
		}
		return nil
	}
	return nil
}

func (a *app) readText(path string) ([]byte, error) {
	return a.files.Read(context.Background(), path, bounded.MaxText)
}
