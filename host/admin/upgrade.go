package admin

import "net/http"

// upgradeRequest is the body of an upgrade's request.
type upgradeRequest struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// upgrade hands over to the program's executable as it is now.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (*answer, error) {
	var ask upgradeRequest
	if err := s.body(w, r, &ask); err != nil {
		return nil, err
	}
	out, err := s.o.Host.Upgrade(asking(r), ask.DryRun)
	if err != nil {
		return nil, problemOf(err, kindRefused)
	}
	return &answer{body: out}, nil
}
