package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
)

// Connections tells of the connections of this process, and of those before it that have
// some left: they come behind this one's.
func (a administered) Connections(ctx context.Context, q host.ConnQuery) (host.ConnPage, error) {
	others := a.predecessors.list()
	if len(others) == 0 {
		return a.Host.Connections(ctx, q)
	}
	if pid, after, ok := placeIn(q.After); ok {
		q.After = after
		return pageOf(ctx, others, pid, q)
	}
	page, err := a.Host.Connections(ctx, q)
	if err != nil && !errors.Is(err, host.ErrUnknown) || page.Next != "" {
		return page, err
	}
	if q.Sort == "" {
		if err == nil {
			page.Next = processPlace(others[0].pid)
			return page, nil
		}
		theirs, askErr := pageOf(ctx, others, others[0].pid, q)
		if askErr == nil {
			return theirs, nil
		}
		return page, err
	}
	for _, p := range others {
		theirs, askErr := p.connections(ctx, q)
		if askErr != nil { // it has no such plugin, or has ended, or is silent
			page.Silent = p.silent(askErr, page.Silent)
			continue
		}
		err = nil
		page.Merge(theirs, q)
	}
	return page, err
}

// CloseConnections closes those of this process, and of those before it.
func (a administered) CloseConnections(ctx context.Context, f host.ConnFilter, abort bool) (int, error) {
	closed, err := a.Host.CloseConnections(ctx, f, abort)
	if err != nil && !errors.Is(err, host.ErrUnknown) && !errors.Is(err, host.ErrNoConnection) {
		return closed, err
	}
	theirs := 0
	for _, p := range a.predecessors.list() {
		var answer struct{ Closed int }
		request := admin.NewCloseRequest(f, abort)
		switch askErr := p.ask(ctx, http.MethodPost, "/v1/connections/close", request, &answer); {
		case askErr == nil:
			theirs += answer.Closed
		case err != nil && errors.Is(askErr, errResting):
			err = fmt.Errorf("%w, and process %d, where an upgrade left some, has not answered in time", err, p.pid)
		}
	}
	if theirs > 0 && (len(f.IDs) == 0 || closed+theirs >= len(f.IDs)) {
		err = nil
	}
	return closed + theirs, err
}

// processPlace is a ConnPage's Next that begins with a process; placeIn reads one.
func processPlace(pid int) string { return "process-" + strconv.Itoa(pid) + ":" }

func placeIn(after string) (pid int, rest string, ok bool) {
	number, found := strings.CutPrefix(after, "process-")
	if !found {
		return 0, "", false
	}
	number, rest, found = strings.Cut(number, ":")
	pid, err := strconv.Atoi(number)
	return pid, rest, found && err == nil
}

// pageOf is the page of a process, or of the next one where that has ended, which others may
// not have any more: they are sorted.
func pageOf(ctx context.Context, others []*predecessor, pid int, q host.ConnQuery) (host.ConnPage, error) {
	var err error
	var silent []int
	for n, p := range others {
		if p.pid < pid {
			continue
		}
		if p.pid > pid {
			q.After = ""
		}
		var page host.ConnPage
		if page, err = p.connections(ctx, q); err != nil {
			silent = p.silent(err, silent)
			continue
		}
		page.Silent = silent
		switch {
		case page.Next != "":
			page.Next = processPlace(p.pid) + page.Next
		case n+1 < len(others):
			page.Next = processPlace(others[n+1].pid)
		}
		return page, nil
	}
	var no *refused
	if errors.As(err, &no) && len(silent) == 0 {
		return host.ConnPage{}, host.ErrUnknown
	}
	return host.ConnPage{Connections: []host.ConnInfo{}, Silent: silent}, nil
}

// silent adds the process to those that have not answered in time, if err says so of it.
func (p *predecessor) silent(err error, to []int) []int {
	if errors.Is(err, errResting) {
		to = append(to, p.pid)
	}
	return to
}

// connections asks the process for some of its own.
func (p *predecessor) connections(ctx context.Context, q host.ConnQuery) (page host.ConnPage, err error) {
	err = p.ask(ctx, http.MethodGet, "/v1/connections?"+admin.ConnParameters(q).Encode(), nil, &page)
	for n := range page.Connections {
		page.Connections[n].Process = strconv.Itoa(p.pid)
	}
	page.Late = nil // its loops are not this one's
	return page, err
}
