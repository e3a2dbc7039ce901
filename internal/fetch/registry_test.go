package fetch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// registry is one of the OCI distribution specification, as far as pulling goes, on a
// loopback address without TLS.
type registry struct {
	*httptest.Server
	mu    sync.Mutex
	blobs map[string][]byte // by digest
	tags  map[string]string // manifests' digests
	types map[string]string // media types of manifests, by digest
	login string            // user and password that are asked for; "" = none
	asked []string
}

func newRegistry(t *testing.T) *registry {
	r := &registry{blobs: map[string][]byte{}, tags: map[string]string{}, types: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *registry) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *registry) blob(mediaType string, b []byte) ocispec.Descriptor {
	d := digest.FromBytes(b)
	r.blobs[d.String()] = b
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

// push gives a manifest of layers a tag.
func (r *registry) push(tag string, annotations map[string]string, layers ...ocispec.Descriptor) ocispec.Descriptor {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: layers, Annotations: annotations,
		Config: r.blob("application/vnd.wasm.config.v0+json", []byte("{}"))}
	m.SchemaVersion = 2
	return r.manifest(tag, m.MediaType, m)
}

func (r *registry) manifest(tag, mediaType string, m any) ocispec.Descriptor {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, _ := json.Marshal(m)
	d := r.blob(mediaType, text)
	r.tags[tag], r.types[d.Digest.String()] = d.Digest.String(), mediaType
	return d
}

func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, q.Method+" "+q.URL.Path)
	if user, password, _ := q.BasicAuth(); r.login != "" && user+":"+password != r.login {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	parts := strings.Split(q.URL.Path, "/") // /v2/NAME/manifests/REFERENCE or /v2/NAME/blobs/DIGEST
	if len(parts) < 5 {
		http.NotFound(w, q)
		return
	}
	reference := parts[len(parts)-1]
	if parts[len(parts)-2] == "manifests" && r.tags[reference] != "" {
		reference = r.tags[reference]
	}
	b, there := r.blobs[reference]
	if !there {
		http.NotFound(w, q)
		return
	}
	if t := r.types[reference]; t != "" {
		w.Header().Set("Content-Type", t)
	}
	w.Header().Set("Docker-Content-Digest", reference)
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	if q.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
}
