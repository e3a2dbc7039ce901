package admin

import (
	"net/http"
	"time"
)

// Event is a change of a plugin, or one that failed.
type Event struct {
	At       time.Time `json:"at"`
	Outcome  string    `json:"outcome"`            // started, loaded, active, unloaded, refused
	Version  string    `json:"version,omitempty"`  // that is active since then
	Previous string    `json:"previous,omitempty"` // that was before
	Pinned   bool      `json:"pinned,omitempty"`
	By       string    `json:"by,omitempty"`     // who asked for it
	Detail   string    `json:"detail,omitempty"` // what became of connections, or why it was refused
}

type eventList struct {
	History []Event `json:"history"`
}

// history tells what became of a plugin, the last change first.
func (s *Server) history(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	list, err := s.o.Host.History(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return &answer{body: eventList{orEmpty(list)}}, nil
}

// unpin goes over to the configured module of a plugin that was pinned.
func (s *Server) unpin(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	name := r.PathValue("name")
	return s.conditional(r, name, func() (*answer, error) {
		out, err := s.o.Host.UnpinPlugin(asking(r), name)
		return s.changed(r, "unpin", name, out, err)
	})
}

// toSave tells whether a change is to outlive the process, and that it can.
func (s *Server) toSave(r *http.Request) (bool, error) {
	switch text := r.URL.Query().Get("save"); text {
	case "", "false":
		return false, nil
	case "true":
		if err := s.o.Host.CanSave(); err != nil {
			return false, kindRefused.problem("it can't be saved, so nothing was done: %s", err)
		}
		return true, nil
	default:
		return false, kindBadRequest.problem("save: found %q, wanted true or false", cut(text))
	}
}

// save has what was done outlive the process.
func (s *Server) save(save bool, name string) error {
	if !save {
		return nil
	}
	if err := s.o.Host.SavePlugin(name); err != nil {
		return kindInternal.problem("it was done, and is not saved: the next start forgets it: %s", err)
	}
	return nil
}
