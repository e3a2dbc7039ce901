// Command smtp is a mail server of github.com/emersion/go-smtp, as a plugin: it
// keeps the mails in memory.
package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	Domain  string `json:"domain"`   // that this server says it is
	MaxMail int64  `json:"max_mail"` // bytes
	Keep    int    `json:"keep"`     // mails
}

// box is a mailbox: the newest mails.
type box struct {
	settings settings
	reactor  *wirehost.Reactor

	mu    sync.Mutex
	mails []mail
	total int // of all that came
}

// mail is one mail.
type mail struct {
	from string
	to   []string
	text string
}

func init() {
	b := &box{settings: settings{Domain: "localhost", MaxMail: 1 << 20, Keep: 20}}
	server := smtp.NewServer(b)
	server.ReadTimeout, server.WriteTimeout = time.Minute, time.Minute
	server.MaxRecipients = 100
	wirehost.Register(wirenet.Serve(server.Serve, wirenet.Options{
		Name: "smtp",
		Start: func(r *wirehost.Reactor) error {
			b.reactor = r
			if err := r.Config(&b.settings); err != nil {
				return err
			}
			server.Domain, server.MaxMessageBytes = b.settings.Domain, b.settings.MaxMail
			return nil
		},
	}))
}

func main() {}

// NewSession is called for each connection. (The name is go-smtp's.)
func (b *box) NewSession(*smtp.Conn) (smtp.Session, error) { return &delivery{box: b}, nil }

// keep puts a mail into the box and logs how many there are.
func (b *box) keep(m mail) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total++
	if b.mails = append(b.mails, m); len(b.mails) > b.settings.Keep {
		b.mails = b.mails[1:]
	}
	return b.reactor.Logf(wirehost.LevelInfo, "mail from %s to %s, %d bytes; %d kept of %d",
		m.from, strings.Join(m.to, ", "), len(m.text), len(b.mails), b.total)
}

// delivery is what one connection is about to deliver.
type delivery struct {
	box  *box
	mail mail
}

// Mail, Rcpt, Data, Reset and Logout are the commands of SMTP.

func (d *delivery) Mail(from string, _ *smtp.MailOptions) error {
	d.mail.from = from
	return nil
}

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !strings.HasSuffix(to, "@"+d.box.settings.Domain) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "no relaying"}
	}
	d.mail.to = append(d.mail.to, to)
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if errors.Is(err, smtp.ErrDataTooLarge) {
		return err
	}
	if err != nil {
		return fmt.Errorf("mail of %s: %w", d.mail.from, err)
	}
	d.mail.text = string(text)
	return d.box.keep(d.mail)
}

func (d *delivery) Reset() { d.mail = mail{} }

func (d *delivery) Logout() error { return nil }
