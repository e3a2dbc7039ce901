package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// SignatureAnnotation is the annotation, of a manifest or of the module's layer, that
// has a module's signature in minisign's form.
const SignatureAnnotation = "dev.wirehost.minisig"

// wasmTypes are the media types of layers that are modules, the preferred one first.
var wasmTypes = []string{ // never changed
	"application/wasm", "application/vnd.wasm.content.layer.v1+wasm",
	"application/vnd.module.wasm.content.layer.v1+wasm",
}

// pull gets a module of oci://. A nil body: it is what is kept.
func (f *Fetcher) pull(ctx context.Context, q Request, rec record) (record, *body, error) {
	now := record{Source: q.Source}
	repo, err := f.repository(strings.TrimPrefix(q.Source, ociPrefix))
	if err != nil {
		return now, nil, err
	}
	desc, err := repo.Resolve(ctx, repo.Reference.ReferenceOrDefault())
	if err != nil {
		return now, nil, err
	}
	if now.Source = q.Source; !strings.Contains(now.Source, "@") {
		now.Source += "@" + desc.Digest.String()
	}
	if rec.Source == now.Source && (!q.Signed || rec.Signature != "") {
		return rec, nil, nil
	}
	layer, signature, err := moduleOf(ctx, repo, desc)
	if err != nil {
		return now, nil, err
	}
	now.Signature = signature
	if layer.Size > q.Limit {
		return now, nil, tooLong(q.Limit)
	}
	r, err := repo.Fetch(ctx, layer)
	if err != nil {
		return now, nil, err
	}
	defer r.Close() // it was only read
	verified := content.NewVerifyReader(r, layer)
	b, err := f.take(ctx, verified, q.Limit)
	if err != nil {
		return now, nil, err
	}
	if err := verified.Verify(); err != nil {
		b.drop()
		return now, nil, fmt.Errorf("the layer %s: %w", layer.Digest, err)
	}
	return now, b, nil
}

// repository is where a reference leads, asked with the credentials of Docker's
// configuration.
func (f *Fetcher) repository(reference string) (*remote.Repository, error) {
	if at := strings.IndexByte(reference, '@'); at >= 0 { // NAME:TAG@DIGEST: the digest counts
		name, digest := reference[:at], reference[at:]
		if tag := strings.LastIndexByte(name, ':'); tag > strings.LastIndexByte(name, '/') {
			reference = name[:tag] + digest
		}
	}
	repo, err := remote.NewRepository(reference)
	if err != nil {
		return nil, err
	}
	logins, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("docker's configuration: %w", err)
	}
	plain := ""
	if isLoopback(repo.Reference.Registry) {
		plain, repo.PlainHTTP = repo.Reference.Host(), true
	}
	repo.Client = &auth.Client{Client: newClient(f.o.Roots, plain), Credential: credentials.Credential(logins)}
	repo.MaxMetadataBytes = maxSmall
	return repo, nil
}

// moduleOf finds the module's layer, and its signature where there is one, in what a
// reference leads to: a manifest, or an index that has one for wasm.
func moduleOf(ctx context.Context, repo *remote.Repository,
	desc ocispec.Descriptor) (ocispec.Descriptor, string, error) {
	none := ocispec.Descriptor{}
	for range 2 {
		if desc.Size > maxSmall {
			return none, "", fmt.Errorf("found a manifest of %d bytes, wanted at most %d", desc.Size, maxSmall)
		}
		text, err := content.FetchAll(ctx, repo, desc)
		if err != nil {
			return none, "", err
		}
		var m struct {
			ocispec.Manifest
			Manifests []ocispec.Descriptor `json:"manifests"` // of an index
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return none, "", fmt.Errorf("the manifest %s: %w", desc.Digest, err)
		}
		if len(m.Manifests) == 0 {
			return layerOf(m.Manifest)
		}
		if desc, err = forWasm(m.Manifests); err != nil {
			return none, "", err
		}
	}
	return none, "", errors.New("found an index within an index, wanted a manifest")
}

// forWasm is the manifest of an index that is for wasm, or the only one.
func forWasm(list []ocispec.Descriptor) (ocispec.Descriptor, error) {
	for _, d := range list {
		if d.Platform != nil && d.Platform.Architecture == "wasm" {
			return d, nil
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("found an index of %d manifests, wanted one for the architecture wasm",
		len(list))
}

// layerOf is the layer of a manifest that is a module, or the only one.
func layerOf(m ocispec.Manifest) (ocispec.Descriptor, string, error) {
	at := -1
	for _, t := range wasmTypes {
		if at < 0 {
			at = slices.IndexFunc(m.Layers, func(d ocispec.Descriptor) bool { return d.MediaType == t })
		}
	}
	if at < 0 && len(m.Layers) == 1 && !strings.Contains(m.Layers[0].MediaType, "tar") {
		at = 0
	}
	if at < 0 {
		var types []string
		for _, d := range m.Layers {
			types = append(types, d.MediaType)
		}
		return ocispec.Descriptor{}, "", fmt.Errorf("found layers of %q, wanted one of application/wasm", types)
	}
	signature := m.Annotations[SignatureAnnotation]
	if own := m.Layers[at].Annotations[SignatureAnnotation]; own != "" {
		signature = own
	}
	return m.Layers[at], signature, nil
}
