// Command client fetches a URL over HTTP/3, as curl --http3 does where it can: with
// -post it sends its standard input. It believes the certificate whose SHA-256 it is
// given, or, with -k, any.
package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in io.Reader, out, errs io.Writer) int {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.SetOutput(errs)
	post := flags.Bool("post", false, "send standard input")
	anyone := flags.Bool("k", false, "believe any certificate")
	pin := flags.String("sha256", "", "the certificate's SHA-256 in hexadecimal")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		fmt.Fprintln(errs, "usage: client [-post] [-k | -sha256 HEX] URL")
		return 2
	}
	patient := &quic.Config{HandshakeIdleTimeout: time.Minute, MaxIdleTimeout: time.Minute}
	t := &http3.Transport{TLSClientConfig: &tls.Config{}, QUICConfig: patient}
	defer t.Close()
	if *anyone || *pin != "" {
		t.TLSClientConfig.InsecureSkipVerify = true // verified below
		t.TLSClientConfig.VerifyPeerCertificate = func(certs [][]byte, _ [][]*x509.Certificate) error {
			if sum := sha256.Sum256(certs[0]); !*anyone && hex.EncodeToString(sum[:]) != *pin {
				return errors.New("the certificate is another")
			}
			return nil
		}
	}
	if err := fetch(&http.Client{Transport: t}, flags.Arg(0), *post, in, out); err != nil {
		fmt.Fprintln(errs, "client:", err)
		return 1
	}
	return 0
}

func fetch(c *http.Client, url string, post bool, in io.Reader, out io.Writer) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if post {
		var body []byte
		if body, err = io.ReadAll(in); err != nil {
			return err
		}
		request, err = http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	}
	if err != nil {
		return err
	}
	r, err := c.Do(request)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return errors.New(r.Status)
	}
	_, err = io.Copy(out, r.Body)
	return err
}
