package cri

import (
	"context"
	"fmt"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"tidegate.dev/conformance/box/images"
)

// ImageService says of each image that images.json names that it is there already.
type ImageService struct{ Images images.Images }

func unmapped(name string) error {
	return fmt.Errorf("image %q stands for no local file: add it to images.json", name)
}

// ImageStatus describes a mapped image, with the user that it runs as.
func (i ImageService) ImageStatus(_ context.Context, spec *cri.ImageSpec, _ bool) (*cri.ImageStatusResponse, error) {
	image, ok := i.Images.Find(spec.Image)
	if !ok {
		return &cri.ImageStatusResponse{}, nil
	}
	return &cri.ImageStatusResponse{Image: &cri.Image{Id: spec.Image, RepoTags: []string{spec.Image}, Size: 1,
		Uid: &cri.Int64Value{Value: image.UID}, Spec: &cri.ImageSpec{Image: spec.Image}}}, nil
}

// PullImage refuses an image that is not mapped.
func (i ImageService) PullImage(_ context.Context, spec *cri.ImageSpec, _ *cri.AuthConfig, _ *cri.PodSandboxConfig) (string, error) {
	if _, ok := i.Images.Find(spec.Image); !ok {
		return "", unmapped(spec.Image)
	}
	return spec.Image, nil
}

// ListImages gives none, so the kubelet collects none as garbage.
func (ImageService) ListImages(context.Context, *cri.ImageFilter) ([]*cri.Image, error) {
	return nil, nil
}

// RemoveImage does nothing: no file of the machine is the box's to remove.
func (ImageService) RemoveImage(context.Context, *cri.ImageSpec) error { return nil }

// ImageFsInfo knows of no image file system.
func (ImageService) ImageFsInfo(context.Context) (*cri.ImageFsInfoResponse, error) {
	return &cri.ImageFsInfoResponse{}, nil
}

// Close has nothing to close.
func (ImageService) Close(context.Context) error { return nil }
