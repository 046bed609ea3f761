// Package images says which files of this machine stand for which container image, so that no image is
// built or pulled: a container's root is the machine's own with these files bound into it.
package images

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Image is one entry of images.json.
type Image struct {
	Entrypoint []string `json:"entrypoint"`
	// Files holds paths in the container and the file or folder of this machine that is bound there,
	// read-only. $VARIABLES in the latter are those of "box up", with BOX_BIN and BOX_DIR.
	Files map[string]string `json:"files"`
	// Env is what an image sets; a container's own variables win.
	Env map[string]string `json:"env"`
	UID int64             `json:"uid"`
}

// Bind is one file or folder of the machine and its place in the container.
type Bind struct{ Source, Target string }

// Images are all entries by name: with a tag, or without one for every tag.
type Images map[string]Image

// Read reads images.json. A field that does not exist is an error, since a typing error in it would
// otherwise show only in a container that lacks something.
func Read(path string) (Images, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	images := Images{}
	if err := decoder.Decode(&images); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return images, nil
}

// Find looks for an image by the name that a container gives: as it is, then without its leading parts one
// after the other (the registry's host), and the same once more without the tag. A digest never counts.
func (images Images) Find(name string) (Image, bool) {
	name, _, _ = strings.Cut(name, "@")
	for _, n := range []string{name, withoutTag(name)} {
		for more := true; more; _, n, more = strings.Cut(n, "/") {
			if image, ok := images[n]; ok {
				return image, true
			}
		}
	}
	return Image{}, false
}

func withoutTag(name string) string {
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		return name[:at]
	}
	return name
}

// Binds gives the image's files in the order of their targets, a folder before what lies in it.
func (i Image) Binds() []Bind {
	var binds []Bind
	for _, target := range slices.Sorted(maps.Keys(i.Files)) {
		binds = append(binds, Bind{Source: os.ExpandEnv(i.Files[target]), Target: target})
	}
	return binds
}

// Environ gives the image's variables as NAME=VALUE.
func (i Image) Environ() []string {
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(i.Env)) {
		environ = append(environ, name+"="+i.Env[name])
	}
	return environ
}
