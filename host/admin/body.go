package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// readBody reads a request's body, which must be JSON by its header where there
// is one.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge()
	case err != nil:
		return nil, kindBadRequest.problem("the body did not arrive: %s", err)
	}
	// It has arrived: what is done with it may take longer. Not every
	// ResponseWriter has deadlines: those of tests don't.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if len(text) > 0 && !isJSON(r) {
		return nil, kindMediaType.problem("found Content-Type %q, wanted application/json",
			r.Header.Get("Content-Type"))
	}
	return text, nil
}

func tooLarge() error {
	return kindTooLarge.problem("found a body of more than %d bytes, wanted at most that", maxBody)
}

// isJSON tells whether a request says that its body is JSON.
func isJSON(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == "application/json"
}

// parse reads a body into v, a pointer to a struct, strictly. An empty body is
// an empty object.
func parse(text []byte, v any) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	at := dec.InputOffset()
	if err == nil {
		if bytes.TrimLeft(text, " \t\r\n")[0] != '{' {
			return kindBadRequest.problem("body:1:1: found null, wanted an object")
		}
		if rest := bytes.TrimLeft(text[at:], " \t\r\n"); len(rest) > 0 {
			return kindBadRequest.problem("%s: found more after the end", place(text, int64(len(text)-len(rest))))
		}
		return nil
	}
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return kindBadRequest.problem("%s: found what is not JSON: %s", place(text, syntax.Offset-1), syntax)
	case errors.As(err, &wrong):
		what := "the body"
		if wrong.Field != "" {
			what = wrong.Field
		}
		return kindBadRequest.problem("%s: %s: found %s, wanted %s", place(text, wrong.Offset-1), what, wrong.Value,
			wanted(wrong))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return kindBadRequest.problem("%s: found what is not JSON: it ends too early", place(text, int64(len(text))))
	}
	// An unknown field has no type of its own in encoding/json.
	return kindBadRequest.problem("%s: %s", place(text, at), cut(err.Error()))
}

func wanted(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "bool":
		return "true or false"
	case "struct":
		return "an object"
	}
	return "a " + e.Type.Kind().String()
}

// place names an offset into the body, as body:LINE:COLUMN, from 1.
func place(text []byte, offset int64) string {
	offset = max(0, min(offset, int64(len(text))))
	before := text[:offset]
	return fmt.Sprintf("body:%d:%d", 1+bytes.Count(before, []byte("\n")), int(offset)-bytes.LastIndexByte(before, '\n'))
}
