"""What several families of models share: finding and computing checkpoints, generating, prompting, asking servers."""
