package operate

import (
	"errors"

	"github.com/wirehost/wirehost/internal/lines"
	"github.com/wirehost/wirehost/internal/watch"
)

// credential begins the names of files that are watched and no plugin's: certificates,
// keys, authorities. No plugin's name has a colon.
const credential = "credential:"

// refusals are how often a changed credential is tried again before it is told that it is
// refused, each time after the watch has seen its files at rest: for some 2 s. A
// certificate and its key are often written one after the other, and do not match
// meanwhile.
const refusals = 20

// addCredentials adds the files of certificates, keys and authorities that run.
func (s *Server) addCredentials(files map[string]watch.File) {
	for _, list := range []map[string]string{s.CertificateFiles(), s.administration.known.files()} {
		for path, sum := range list {
			files[credential+path] = watch.File{Path: path, SHA256: sum}
		}
	}
}

// changedCredential takes over a file that has changed, with the one that belongs to it.
// false: later again.
func (s *Server) changedCredential(path string) (done bool) {
	err := errors.Join(s.ReloadCertificate(s.ctx, path), s.administration.known.reload(s.ctx, path))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || s.ctx.Err() != nil {
		delete(s.refused, path)
		s.refusal = ""
		return true
	}
	if s.refused == nil {
		s.refused = map[string]int{}
	}
	if s.refused[path]++; s.refused[path] < refusals {
		return false
	}
	delete(s.refused, path)
	if said := err.Error(); said != s.refusal { // once for a certificate and its key
		s.refusal = said
		lines.Log(s.log, "a changed certificate or token is refused; what was there before stays", err)
	}
	return true
}
