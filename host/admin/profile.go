package admin

import (
	"bytes"
	"net/http"
	"time"
)

// How long a profile runs.
const (
	usualProfile   = 10 * time.Second
	longestProfile = time.Hour
)

// profilePlugin answers when the profile is over: at the latest when the client goes away.
func (s *Server) profilePlugin(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	d := usualProfile
	if text := r.URL.Query().Get("for"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d <= 0 || d > longestProfile {
			return nil, kindBadRequest.problem("for: found %q, wanted a time such as 10s, above 0 and at most 1h",
				cut(text))
		}
	}
	as := r.URL.Query().Get("as")
	if as != "" && as != "tree" {
		return nil, kindBadRequest.problem("as: found %q, wanted tree, or nothing for what pprof reads", cut(as))
	}
	p, err := s.o.Host.Profile(r.Context(), r.PathValue("name"), d)
	if err != nil {
		return nil, err
	}
	if as == "tree" {
		return &answer{body: treeOf(p)}, nil
	}
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		return nil, err
	}
	return &answer{raw: out.Bytes()}, nil
}
